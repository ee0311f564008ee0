# frozen_string_literal: true

# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# What of Rails the pool's own Ruby touches: configuration, initializers and the store, with Scalelite's names and defaults
# (config/application.rb, lib/redis_store.rb).
require 'json'
require 'logger'
require 'ostruct'
require 'redis'
require 'redis-namespace'

class Hash
  def symbolize_keys
    transform_keys(&:to_sym)
  end
end

module Rails
  module_function

  def pairs(name)
    ENV.fetch(name, '').split(',').to_h { |pair| pair.split('=', 2) }.symbolize_keys
  end

  def flag(name)
    ENV.fetch(name, 'false').casecmp?('true')
  end

  def configuration
    @configuration ||= OpenStruct.new(
      x: OpenStruct.new(
        loadbalancer_secret: ENV.fetch('LOADBALANCER_SECRET'),
        loadbalancer_checksum_algorithms: ENV.fetch('LOADBALANCER_CHECKSUM_ALGORITHM', 'SHA1:SHA256:SHA512').split(':'),
        max_meeting_duration: ENV['MAX_MEETING_DURATION'].to_i,
        server_healthy_threshold: ENV.fetch('SERVER_HEALTHY_THRESHOLD', '1').to_i,
        server_unhealthy_threshold: ENV.fetch('SERVER_UNHEALTHY_THRESHOLD', '2').to_i,
        open_timeout: ENV.fetch('CONNECT_TIMEOUT', '5').to_f,
        read_timeout: ENV.fetch('RESPONSE_TIMEOUT', '10').to_f,
        poller_wait_timeout: ENV.fetch('POLLER_WAIT_TIMEOUT', '10').to_i,
        load_min_user_count: ENV.fetch('LOAD_MIN_USER_COUNT', '15').to_i,
        load_join_buffer_time: ENV.fetch('LOAD_JOIN_BUFFER_TIME', '15').to_i * 60,
        default_meeting_ttl: ENV.fetch('DEFAULT_MEETING_TTL', '86400').to_i,
        multitenancy_enabled: flag('MULTITENANCY_ENABLED'),
        url_host: ENV.fetch('URL_HOST', nil),
        create_exclude_params: ENV['CREATE_EXCLUDE_PARAMS']&.split(',') || [],
        join_exclude_params: ENV['JOIN_EXCLUDE_PARAMS']&.split(',') || [],
        default_create_params: pairs('DEFAULT_CREATE_PARAMS'), override_create_params: pairs('OVERRIDE_CREATE_PARAMS'),
        default_join_params: pairs('DEFAULT_JOIN_PARAMS'), override_join_params: pairs('OVERRIDE_JOIN_PARAMS'),
      ),
    )
  end

  def application
    @application ||= OpenStruct.new(config: Preparation.new)
  end

  # RAILS_LOG_TO_STDOUT=true puts log lines on the stdout of every command, one for each start.
  def logger
    @logger ||= Logger.new(flag('RAILS_LOG_TO_STDOUT') ? $stdout : File::NULL, level: ENV.fetch('RAILS_LOG_LEVEL', 'debug'))
  end

  class Preparation
    def initialize
      @blocks = []
    end

    def to_prepare(&block)
      @blocks << block
    end

    def prepare
      @blocks.each(&:call)
    end
  end
end

module RedisStore
  LOCK = Monitor.new

  def self.with_connection
    LOCK.synchronize do
      @connection ||= Redis::Namespace.new(ENV.fetch('REDIS_NAMESPACE', 'scalelite'), redis: Redis.new(url: ENV.fetch('REDIS_URL')))
      yield @connection
    end
  end
end

require_relative 'models'
require_relative 'api_helper'
Dir[File.expand_path('../config/initializers/*.rb', __dir__)].each { |file| require file }
Rails.application.config.prepare
Rails.logger.fatal('Scalelite double has started')
