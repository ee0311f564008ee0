# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: whether psycopg is there, looked up once, with its absence remembered instead of raised."""

from __future__ import annotations

import traceback

try:
    import psycopg  # noqa: F401  # pylint: disable=unused-import
except ImportError:
    PSYCOPG_IMPORT_ERROR: str | None = traceback.format_exc()
else:
    PSYCOPG_IMPORT_ERROR = None
