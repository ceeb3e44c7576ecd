"""What a model saw on a slide, on one page: as a web page that holds all it shows itself, or as PDF."""

from napari_wsimil.exports.reports.content import Content, report_content
from napari_wsimil.exports.reports.page import html_text
from napari_wsimil.exports.reports.pdf import write_pdf

__all__ = ["Content", "html_text", "report_content", "write_pdf"]
