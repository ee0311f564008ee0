# frozen_string_literal: true

# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Checksums, parameters and calls to nodes (app/controllers/concerns/api_helper.rb, bbb_errors.rb).
require 'digest'
require 'net/http'
require 'openssl'
require 'rexml/document'

# Answers of nodes are looked through by the names of Nokogiri, which the real one has.
class REXML::Element
  def xpath(path) = REXML::XPath.match(self, path)
  def at_xpath(path) = REXML::XPath.first(self, path)
end

module BBBErrors
  class BBBError < StandardError
    attr_reader :message_key

    def initialize(message_key, message)
      @message_key = message_key
      super(message)
    end
  end

  def self.checksum = BBBError.new('checksumError', 'You did not pass the checksum security check')
  def self.not_found = BBBError.new('notFound', 'We could not find a meeting with that meeting ID - perhaps the meeting is not yet running?')
  def self.internal(message) = BBBError.new('internalError', message)
end

module ApiHelper
  ALGORITHMS = { 40 => 'SHA1', 64 => 'SHA256', 128 => 'SHA512' }.freeze

  def encode_bbb_uri(action, base, secret, params = {})
    params = add_additional_params(action, params)
    query = URI.encode_www_form(params)
    uri = URI.join(base.end_with?('/') ? base : "#{base}/", action)
    uri.query = URI.encode_www_form(params.merge(checksum: Digest::SHA256.hexdigest(action + query + secret)))
    uri
  end

  # Global default < tenant's default < client < global override < tenant's override, on create; a tenant's settings go on every join too.
  def add_additional_params(action, bbb_params)
    asked = bbb_params.symbolize_keys
    default, override = %w[create join].include?(action) ? TenantSetting.defaults_and_overrides(@tenant&.id) : [{}, {}]
    [default, override].each { |part| part.delete(:'meta_server-tag') }
    final = default.merge(asked)
    settings = Rails.configuration.x
    case action
    when 'create'
      final = settings.default_create_params.except(:'meta_server-tag').merge(final)
      final.merge!(settings.override_create_params.except(:'meta_server-tag'))
    when 'join'
      final = settings.default_join_params.merge(final).merge(settings.override_join_params)
    end
    final.merge(override)
  end

  # A GET that hangs is tried again by Net::HTTP, as in the real one.
  def get_post_req(uri, body = '', **timeouts)
    request = body.empty? ? Net::HTTP::Get.new(uri) : Net::HTTP::Post.new(uri, 'Content-Type' => 'application/xml').tap { |one| one.body = body }
    settings = Rails.configuration.x
    options = { use_ssl: uri.scheme == 'https', open_timeout: settings.open_timeout, read_timeout: settings.read_timeout, **timeouts }
    answer = Net::HTTP.start(uri.host, uri.port, **options) { |http| http.request(request) }
    document = REXML::Document.new(answer.body)
    code = document.elements['/response/returncode']
    raise BBBErrors.internal('Response did not include returncode') if code.nil?

    unless code.text == 'SUCCESS'
      raise BBBErrors::BBBError.new(document.elements['/response/messageKey']&.text, document.elements['/response/message']&.text)
    end

    document
  end
end
