# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Scalelite double: images that behave towards the collection, members and nodes as blindsidenetwks/scalelite 1.8.5 does.

``build.py`` makes the images, ``image/`` is what lies in them. Each file names the upstream sources whose rules it keeps, the unkind ones
too: forced settings that raise smaller wishes, names that need not be unique, settings that outlive their tenant, a body on ``join`` that
nobody signed, an administration that answers on every host, meetings that are forgotten when their node goes offline.

Left out, and refused rather than pretended: rake tasks, recordings, insertDocument, callbacks, the telephone API, all of the
administration over HTTP but ``getTenants``, a Scalelite without tenants.
"""
