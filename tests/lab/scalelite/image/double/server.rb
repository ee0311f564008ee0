# frozen_string_literal: true

# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The API in front (app/controllers/bigbluebutton_api_controller.rb, api/tenants_controller.rb, health_check_controller.rb).
require_relative 'rails'
require 'json'
require 'webrick'

class Call
  include ApiHelper

  METHODS = { 'getMeetingInfo' => :info, 'isMeetingRunning' => :running, 'getMeetings' => :meetings, 'create' => :create, 'end' => :finish,
              'join' => :join }.freeze

  def initialize(request, response)
    @request, @response = request, response
  end

  def answer
    return @response.body = 'success' if @request.path == '/health_check'

    host = allowed_host
    return forbid if host.nil?
    return administer if @request.path.start_with?('/scalelite/api/')

    action = @request.path[%r{\A/bigbluebutton/api/?([A-Za-z]*)\z}, 1]
    return xml('<response><returncode>SUCCESS</returncode><version>2.0</version></response>') if action == ''

    method = METHODS[action]
    raise BBBErrors::BBBError.new('unsupportedRequest', 'This request is not supported.') if method.nil? || unfit?(action)

    @tenant = tenant(host)
    verify(action, @tenant.secrets.split(':'))
    @params = parameters
    if action != 'getMeetings' && @params['meetingID'].to_s.empty?
      raise BBBErrors::BBBError.new('missingParamMeetingID', 'You must specify a meeting ID for the meeting.')
    end

    send(method)
  rescue BBBErrors::BBBError => e
    failed(e)
  rescue StandardError => e
    Rails.logger.error("#{e.class}: #{e.message}")
    @response.status = 500
  end

  private

  # X-Forwarded-Host beats Host; either has to be URL_HOST or one label below it.
  def allowed_host
    forwarded = @request['X-Forwarded-Host'].to_s.split(/,\s?/).last
    names = [@request['Host'], forwarded].compact.map { |name| name.sub(/:\d+\z/, '') }
    known = /\A([A-Za-z0-9-]+\.)?#{Regexp.escape(Rails.configuration.x.url_host)}\z/
    names.last if names.all? { |name| name.match?(known) }
  end

  def forbid
    @response.status = 403
    @response.body = 'Blocked hosts'
  end

  # join is GET only; bodies are forms, for create also XML.
  def unfit?(action)
    return true if action == 'join' && !%w[GET HEAD].include?(@request.request_method)

    kind = @request.content_type.to_s[/\A[^;]+/].to_s
    kinds = %w[application/x-www-form-urlencoded multipart/form-data] + (action == 'create' ? %w[text/xml application/xml] : [])
    return false unless @request.request_method == 'POST' && @request['Content-Length'].to_i.positive? && !kinds.include?(kind)

    raise BBBErrors::BBBError.new('unsupportedContentType', 'POST request Content-Type is missing or unsupported')
  end

  def tenant(host)
    raise BBBErrors.checksum unless Rails.configuration.x.multitenancy_enabled

    Tenant.find_by_name(host.split('.').first) || raise(BBBErrors.checksum)
  end

  def verify(action, secrets)
    query = @request.query_string.to_s
    given = query[/(?:\A|&)checksum=([0-9a-fA-F]*)/, 1].to_s
    algorithm = ApiHelper::ALGORITHMS[given.length]
    raise BBBErrors.checksum unless Rails.configuration.x.loadbalancer_checksum_algorithms.include?(algorithm)

    signed = action + query.gsub(/&checksum=#{given}|checksum=#{given}&|checksum=#{given}/, '')
    right = secrets.any? { |secret| OpenSSL::Digest.hexdigest(algorithm, signed + secret) == given }
    raise BBBErrors.checksum unless right
  end

  # A form in the body is merged in whatever the method and although nobody signed it: the hole that the proxy closes.
  def parameters
    found = URI.decode_www_form(@request.query_string.to_s).to_h
    form = @request.content_type.to_s.start_with?('application/x-www-form-urlencoded')
    found.merge!(URI.decode_www_form(@request.body.to_s).to_h) if form
    found.except('checksum')
  end

  def passed(excluded)
    @params.except(*excluded)
  end

  def meeting
    Meeting.find(@params['meetingID'], @tenant.id)
  rescue ApplicationRedisRecord::RecordNotFound
    raise BBBErrors.not_found
  end

  def ask(server, action, params, body = '')
    get_post_req(encode_bbb_uri(action, server.url, server.secret, params), body)
  rescue BBBErrors::BBBError
    raise
  rescue StandardError
    raise BBBErrors.internal('Unable to access meeting on server.')
  end

  def info
    xml(ask(meeting.server, 'getMeetingInfo', 'meetingID' => @params['meetingID']).to_s)
  end

  def running
    found = Meeting.find(@params['meetingID'], @tenant.id)
    xml(ask(found.server, 'isMeetingRunning', 'meetingID' => @params['meetingID']).to_s)
  rescue ApplicationRedisRecord::RecordNotFound
    xml('<response><returncode>SUCCESS</returncode><running>false</running></response>')
  end

  # One enabled node that fails makes it fail for every tenant.
  def meetings
    all = Server.all.reject { |server| server.offline? || server.disabled? }.flat_map do |server|
      ask(server, 'getMeetings', {}).get_elements('/response/meetings/meeting')
    end
    own = all.select { |one| one.elements['metadata/tenant-id']&.text == @tenant.id }
    if own.empty?
      return xml('<response><returncode>SUCCESS</returncode><messageKey>noMeetings</messageKey>' \
                 '<message>no meetings were found on this server</message><meetings/></response>')
    end
    xml("<response><returncode>SUCCESS</returncode><meetings>#{own.join}</meetings></response>")
  end

  def create
    default, override = TenantSetting.defaults_and_overrides(@tenant.id)
    name = 'meta_server-tag'
    tag = [override[name.to_sym], Rails.configuration.x.override_create_params[name.to_sym], @params[name], default[name.to_sym]]
    found = existing_or_new(tag.find { |one| !one.to_s.empty? })
    server = found.server
    @params['voiceBridge'] = found.voice_bridge
    @params.merge!('meta_tenant-id' => @tenant.id, 'meta_tenant-name' => @tenant.name)
    server.tag ? @params[name] = server.tag : @params.delete(name)
    limit_duration
    body = @request.content_type.to_s.match?(%r{\A(text|application)/xml}) ? @request.body.to_s : ''
    xml(ask(server, 'create', passed(Rails.configuration.x.create_exclude_params), body).to_s)
  end

  def existing_or_new(tag)
    Meeting.find(@params['meetingID'], @tenant.id)
  rescue ApplicationRedisRecord::RecordNotFound
    begin
      server = Server.find_available(tag)
      password = @params['moderatorPW'].to_s.empty? ? SecureRandom.alphanumeric(8) : @params['moderatorPW']
      found = Meeting.find_or_create_with_server!(@params['meetingID'], server, password, @tenant.id)
      found.server.increment_load(1)
      @params['moderatorPW'] = found.moderator_pw
      found
    rescue ApplicationRedisRecord::RecordNotFound => e
      raise BBBErrors.internal(e.message)
    end
  end

  # MAX_MEETING_DURATION replaces what the client asked for before a tenant's settings are merged in.
  def limit_duration
    most = Rails.configuration.x.max_meeting_duration
    asked = @params['duration'].to_i
    @params['duration'] = most if most.positive? && (asked.zero? || asked > most)
  end

  def finish
    found = meeting
    server = found.server
    found.destroy!
    xml(ask(server, 'end', 'meetingID' => @params['meetingID'], 'password' => @params['password']).to_s)
  end

  def join
    server = meeting.server
    if server.offline? || server.disabled?
      raise BBBErrors::BBBError.new('serverUnavailable', 'The server for this meeting is disabled/offline.')
    end

    server.increment_load(1)
    @response.status = 302
    @response['Location'] = encode_bbb_uri('join', server.url, server.secret, passed(Rails.configuration.x.join_exclude_params)).to_s
  end

  # Answers on the host names of tenants too, and gives their secrets in clear.
  def administer
    action = @request.path.delete_prefix('/scalelite/api/')
    verify(action, [Rails.configuration.x.loadbalancer_secret])
    raise BBBErrors::BBBError.new('unsupportedRequest', 'This request is not supported.') unless action == 'getTenants'

    @response['Content-Type'] = 'application/json'
    @response.body = JSON.generate(Tenant.all.map { |one| { id: one.id, name: one.name, secrets: one.secrets } })
  end

  def failed(error)
    text = REXML::Text.new(error.message.to_s).to_s
    xml("<response><returncode>FAILED</returncode><messageKey>#{error.message_key}</messageKey><message>#{text}</message></response>")
  end

  def xml(text)
    @response['Content-Type'] = 'application/xml; charset=utf-8'
    @response.body = text
  end
end

class Front < WEBrick::HTTPServlet::AbstractServlet
  def service(request, response)
    # Read whatever the method: Rails parses a body of GET too.
    request.body if request['Content-Length'] || request['Transfer-Encoding']
    Call.new(request, response).answer
  end
end

address = URI.parse(ENV.fetch('BIND') { "tcp://0.0.0.0:#{ENV.fetch('PORT', 3000)}" })
server = WEBrick::HTTPServer.new(BindAddress: address.host, Port: address.port, AccessLog: [], Logger: WEBrick::Log.new(File::NULL))
server.mount('/', Front)
%w[INT TERM].each { |signal| trap(signal) { server.shutdown } }
server.start
# As Puma, which passes on the signal that it was stopped by (raise_exception_on_sigterm): seen on 1.8.5.
exit 143
