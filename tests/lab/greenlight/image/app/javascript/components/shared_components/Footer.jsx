// Copyright: (c) 2026, meet.coop members
// GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
// The line of greenlight app/javascript/components/shared_components/Footer.jsx that names the program.

export default function Footer() {
  return (
    <footer id="footer">
        <a href="https://docs.bigbluebutton.org/greenlight/v3/install" target="_blank" rel="noreferrer">Greenlight</a>
    </footer>
  );
}
