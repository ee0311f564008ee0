# SPDX-License-Identifier: GPL-3.0-or-later
"""Sphinx reads this beside the pages that docs/site/build.py lays out in docs/build/source."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes

project = "meet.coop"
author = "The meet.coop members"
copyright = "2026, meet.coop members; GPL-3.0-or-later"

extensions = ["myst_parser", "sphinx_antsibull_ext"]
html_theme = "furo"
html_title = "meet.coop"
html_static_path = ["static"]
html_css_files = ["site.css"]
# The example year: statements, journals and invoices as they were written, beside the page about them.
html_extra_path = ["extra"]
html_theme_options = {"source_repository": "", "footer_icons": []}
html_show_sphinx = False
html_copy_source = False

# Anchors of headings as the forge makes them, so that a link works in both places.
myst_heading_anchors = 5
myst_enable_extensions = ["attrs_inline", "deflist"]
highlight_language = "none"
# For who chose no theme: that of the system.
antsibull_ext_color_scheme = "default-autodark"

ANSIBLE = "https://docs.ansible.com/ansible/latest"
# What antsibull-docs refers to in Ansible's own documentation. Its labels (intersphinx) would have to be fetched for each build.
LABELS = {
    "action_plugins": "plugins/action.html",
    "callback_plugins": "plugins/callback.html",
    "common_return_values": "reference_appendices/common_return_values.html",
}


def ansible_label(_app: Any, _environment: Any, node: Any, content: nodes.Node) -> nodes.reference | None:
    """A link to Ansible's documentation for a label of it; None for any other, which then is a warning."""
    label = str(node.get("reftarget", ""))
    page = LABELS.get(label)
    if node.get("reftype") == "envvar" and label.startswith("ANSIBLE_"):
        page = f"reference_appendices/config.html#envvar-{label}"
    plugin = re.fullmatch(r"ansible_collections\.(\w+)\.(\w+)\.(\w+)_(module|lookup|filter|inventory|role|callback)", label)
    if page is None and plugin and plugin.group(1, 2) != ("meet", "coop"):
        page = "collections/{}/{}/{}_{}.html".format(*plugin.groups())
    return nodes.reference("", "", content, refuri=f"{ANSIBLE}/{page}", internal=False) if page else None


def setup(app: Any) -> dict[str, bool]:
    app.connect("missing-reference", ansible_label)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
