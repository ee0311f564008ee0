# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Greenlight double: an image that behaves towards its surroundings as bigbluebutton/greenlight 3.8.2.4 does.

``build.py`` makes the images, ``image/`` is what lies in them, ``services.py`` starts what a bare instance needs. What it does is held by
tests/conformance, which runs against the real application too (GREENLIGHT_IMAGE). Versions: v3.8.2.4, v3.7.1 (fewer migrations), and
v3.9.0-broken, a release that never was, whose second migration fails.

Left out, and refused rather than pretended: sign-in through OIDC itself (local accounts are off all the same), hCaptcha tokens
(every one is wrong), the v2 migration API's payloads (every one is refused), storing recordings, several tenants in one instance,
S3 and GCS, ClamAV, ``rails runner``, broadcasts to /cable (published to Redis only), languages other than English, the asset build.
"""
