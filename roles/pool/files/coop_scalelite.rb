# frozen_string_literal: true

# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Scalelite as the pool runs it: an initializer, mounted into the container beside upstream's own.
#
# Scalelite forces a parameter or gives it a default (app/controllers/concerns/api_helper.rb, add_additional_params); it cannot clamp. The
# pool forces each cap, which binds without this file too. With it, what a meeting asks for is kept where it is within the cap:
# a smaller number of minutes or people passes, and a list of disabled features is added to instead of replaced.
module CoopScalelite
  LIMITS = %i[duration maxParticipants meetingExpireIfNoUserJoinedInMinutes meetingExpireWhenLastUserLeftInMinutes].freeze
  LISTS = %i[disabledFeatures].freeze
  # Plain digits only: BigBlueButton's Integer.parseInt refuses others and takes the node's default, which may be no limit.
  NUMBER = /\A[1-9][0-9]{0,8}\z/
  FEATURES = /\A[A-Za-z]+(,[A-Za-z]+)*\z/

  def add_additional_params(action, bbb_params)
    final = super
    return final unless action == 'create'

    asked = bbb_params.to_h.symbolize_keys
    forced = Rails.configuration.x.override_create_params.merge(TenantSetting.defaults_and_overrides(@tenant&.id).last)
    LIMITS.each do |name|
      next unless forced.key?(name) && asked[name].to_s.match?(NUMBER)

      final[name] = asked[name].to_s if asked[name].to_i < forced[name].to_i
    end
    LISTS.each do |name|
      next unless forced.key?(name) && asked[name].to_s.match?(FEATURES)

      final[name] = (forced[name].split(',') | asked[name].split(',')).join(',')
    end
    final
  end
end

Rails.application.config.to_prepare { ApiHelper.prepend(CoopScalelite) }
