import gc, types, pytest
from napari_wsimil.widgets.docks import AREAS, open_dock
@pytest.mark.parametrize("names,op",[(["Slides"],False),(["Slides"],True),(["Slide analysis","Slides"],False)])
def test_leak(make_napari_viewer_proxy, sample, qtbot, names,op):
    from napari._qt.qt_viewer import QtViewer
    v = make_napari_viewer_proxy(show=True); 
    if op: v.open(str(sample),plugin="napari-wsimil")
    for n in names: open_dock(v, n)
    qtbot.wait(600)
    v.close(); del v
    qtbot.wait(300)
    for i in range(3): gc.collect(); qtbot.wait(50)
    seen=set()
    def show(o,depth,pre=""):
        if depth==0: return
        for r in gc.get_referrers(o):
            if id(r) in seen or isinstance(r,types.FrameType) or r is globals(): continue
            seen.add(id(r))
            t=type(r).__name__
            s=f"{t} {getattr(r,'__qualname__','')}"
            if t=="dict": s+=" keys "+str(list(map(str,list(r)[:6])))[:150]
            if t in("list","tuple","set"): s+=" len %d"%len(r)
            print(pre+s[:200])
            show(r,depth-1,pre+"   ")
    tables=[o for o in gc.get_objects() if type(o).__name__ in("SlideTable",)]
    views=[o for o in gc.get_objects() if type(o).__name__ in("QtViewer",)]
    print("CASE",names,op,"TABLES",len(tables),"QTVIEWER",len(views))
    for o in views[:1]: show(o,3)
