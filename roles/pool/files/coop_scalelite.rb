# frozen_string_literal: true

# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Scalelite as the pool runs it: an initializer, mounted into the container beside upstream's own.
#
# Scalelite forces a parameter or gives it a default (app/controllers/concerns/api_helper.rb, add_additional_params); it cannot clamp. The
# pool forces each cap, which binds without this file too. With it, what a meeting asks for is kept where it is within the cap:
# a smaller number of minutes or people passes, and a list of disabled features is added to instead of replaced.
#
# It knows no limit of all meetings of a tenant together either: AtOnce looks when a tenant begins another one.
module CoopScalelite
  LIMITS = %i[duration maxParticipants meetingExpireIfNoUserJoinedInMinutes meetingExpireWhenLastUserLeftInMinutes].freeze
  LISTS = %i[disabledFeatures].freeze
  # Settings of a tenant that are no parameters, and for no node: what it may have when it begins another meeting.
  AT_ONCE = %i[coopMeetings coopParticipants].freeze
  # Plain digits only: BigBlueButton's Integer.parseInt refuses others and takes the node's default, which may be no limit.
  NUMBER = /\A[1-9][0-9]{0,8}\z/
  FEATURES = /\A[A-Za-z]+(,[A-Za-z]+)*\z/

  def add_additional_params(action, bbb_params)
    final = super.except(*AT_ONCE)
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

# A tenant that has as much at once as it may begins no other meeting. Whoever joins one is never refused, and a meeting that is there is
# created again as ever. It is soft: meetings begun in the same moment do not see each other, and a node that does not answer has nobody.
module CoopAtOnce
  # Called for a meeting that is not there, just before it is (app/controllers/bigbluebutton_api_controller.rb, create).
  def find_or_create_with_server!(id, *others)
    CoopAtOnce.refuse_too_much(others.last) unless with_connection { |redis| redis.exists?(key(id)) }
    super
  end

  def self.refuse_too_much(tenant_id)
    limits = TenantSetting.defaults_and_overrides(tenant_id).last.slice(*CoopScalelite::AT_ONCE).transform_values(&:to_i)
    return if limits.empty?

    meetings = Meeting.all.select { |meeting| meeting.tenant_id == tenant_id }
    most = limits[:coopMeetings]
    if most && meetings.size >= most
      refuse('meetingLimitReached', "There are #{meetings.size} meetings already; end one of them, or wait until one is over.")
    end
    most = limits[:coopParticipants]
    return unless most

    people = meetings.map(&:server_id).uniq.sum { |server| people_on(server, tenant_id) }
    refuse('participantLimitReached', "There are #{people} people in meetings already; wait until some have left.") if people >= most
  end

  # Asked as Scalelite asks (app/controllers/concerns/api_helper.rb, which cannot be loaded yet when this file is).
  def self.people_on(server_id, tenant_id)
    server = Server.find(server_id)
    caller = Object.new.extend(ApiHelper)
    answer = caller.get_post_req(caller.encode_bbb_uri('getMeetings', server.url, server.secret), '', open_timeout: 2, read_timeout: 5)
    meetings = answer.xpath('/response/meetings/meeting').select { |one| one.at_xpath('metadata/tenant-id')&.text == tenant_id }
    meetings.sum { |one| one.at_xpath('participantCount')&.text.to_i }
  rescue StandardError => e
    Rails.logger.warn("Could not ask server id=#{server_id} how many people meet there: #{e}")
    0
  end

  def self.refuse(key, message)
    raise BBBErrors::BBBError.new(key, message)
  end
end

# A meeting is written down before its node has made it, and whoever polls in between is told that the node does not know it
# (lib/tasks/poll.rake): Scalelite would forget a meeting that begins. So it is not forgotten for that reason while it is new.
module CoopNew
  # Seconds: longer than a node may take to make it, RESPONSE_TIMEOUT twice.
  NEW = 30

  def destroy!
    reason = $!
    unknown = reason.is_a?(BBBErrors::BBBError) && reason.message_key == 'notFound'
    # What is left of its time tells its age.
    return self if unknown && with_connection { |redis| redis.ttl(key) } > Rails.configuration.x.default_meeting_ttl - NEW

    super
  end
end

Rails.application.config.to_prepare do
  ApiHelper.prepend(CoopScalelite)
  Meeting.singleton_class.prepend(CoopAtOnce)
  Meeting.prepend(CoopNew)
end
