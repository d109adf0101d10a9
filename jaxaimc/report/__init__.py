"""Reports of results: one HTML page that stands by itself, and figures for papers.

    results folders, tables --read--> Report --write_page--> report.html
                                        `--write_figures--> PNG, PDF

`read` takes the folders of `jaxaimc evaluate`, `sensitivity`, `design` and `sweep`, or any Parquet or CSV table with
named columns. What is averaged, and over what, is decided here; the page only selects, sorts and draws.
"""

from jaxaimc.report.dataset import Dataset, Reference, ReportError
from jaxaimc.report.figures import write_figures
from jaxaimc.report.page import page, write_page
from jaxaimc.report.report import Report, read
from jaxaimc.report.runs import Run

__all__ = ["Dataset", "Reference", "Report", "ReportError", "Run", "page", "read", "write_figures", "write_page"]
