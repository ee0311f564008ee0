# frozen_string_literal: true

# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Looks at all nodes and meetings again and again (lib/tasks/poll.rake).
require_relative 'rails'

module Poller
  extend ApiHelper

  module_function

  def poll
    in_time(Server.all) { |server| poll_server(server) }
    in_time(Meeting.all) { |meeting| poll_meeting(meeting) }
  end

  # A thread that takes longer is ended and counts for nothing: a hanging node never goes offline with the default of 10 seconds.
  def in_time(objects, &block)
    threads = objects.map { |one| Thread.new { block.call(one) } }
    deadline = Time.now + Rails.configuration.x.poller_wait_timeout + 5
    threads.each { |thread| thread.join([deadline - Time.now, 0].max) }
    threads.each(&:kill)
  end

  def poll_server(server)
    found = get_post_req(encode_bbb_uri('getMeetings', server.url, server.secret)).get_elements('/response/meetings/meeting')
    server.reset('unhealthy_counter')
    came_back(server)
    return unless server.online

    server.load = load_of(found) * (server.load_multiplier || 1.0).to_f
    server.state = 'disabled' if server.cordoned? && server.load.zero?
    server.save!
  rescue ApplicationRedisRecord::ApplicationRedisError => e
    Rails.logger.warn(e.message)
  rescue StandardError => e
    Rails.logger.warn("Failed to get server id=#{server.id} status: #{e}")
    failed(server)
  end

  def came_back(server)
    return if server.online || server.count('healthy_counter') < Rails.configuration.x.server_healthy_threshold

    %w[healthy_counter unhealthy_counter].each { |name| server.reset(name) }
    server.online = true
  end

  def load_of(meetings)
    meetings.reject { |one| number(one, 'isBreakout') == 'true' }.sum do |one|
      people = number(one, 'participantCount').to_i + number(one, 'moderatorCount').to_i
      young = number(one, 'createTime').to_i / 1000 > Time.now.to_i - Rails.configuration.x.load_join_buffer_time
      young ? [people, Rails.configuration.x.load_min_user_count].max : people
    end.to_f
  end

  def number(meeting, name)
    meeting.elements[name]&.text
  end

  # Going offline, a node's meetings are forgotten, and their end is tried once.
  def failed(server)
    server.reset('healthy_counter')
    return if !server.online || server.count('unhealthy_counter') < Rails.configuration.x.server_unhealthy_threshold

    Meeting.all.select { |one| one.server_id == server.id }.each do |meeting|
      meeting.destroy!
      get_post_req(encode_bbb_uri('end', server.url, server.secret, meetingID: meeting.id, password: meeting.moderator_pw))
    rescue StandardError => e
      Rails.logger.error("Could not end meeting id=#{meeting.id}: #{e}")
    end
    server.load = nil
    server.online = false
    server.save!
  end

  def poll_meeting(meeting)
    server = meeting.server
    get_post_req(encode_bbb_uri('getMeetingInfo', server.url, server.secret, meetingID: meeting.id))
  rescue BBBErrors::BBBError => e
    meeting.destroy! if e.message_key == 'notFound'
  rescue StandardError => e
    Rails.logger.warn("Failed to check meeting id=#{meeting.id} status: #{e}")
  end
end

trap('TERM') { exit }
loop do
  Poller.poll
  sleep(Float(ENV.fetch('POLL_INTERVAL', 60)))
end
