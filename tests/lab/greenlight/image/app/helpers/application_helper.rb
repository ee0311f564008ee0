# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# The method of greenlight app/helpers/application_helper.rb that holds the title.

module ApplicationHelper
  def page_title
    match = request&.url&.match('\/rooms\/(\w{3}-\w{3}-\w{3}-\w{3})')
    return 'BigBlueButton' if match.blank?

    room_name = Room.find_by(friendly_id: match[1])&.name
    room_name || 'BigBlueButton'
  end
end
