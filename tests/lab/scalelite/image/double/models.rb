# frozen_string_literal: true

# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Tenants, settings, servers and meetings in Redis under the real keys, and what saving and deleting them refuses
# (app/models/application_redis_record.rb, tenant.rb, tenant_setting.rb, server.rb, meeting.rb).
require 'securerandom'
require 'uri'

class ApplicationRedisRecord
  class ApplicationRedisError < StandardError; end
  class RecordNotFound < ApplicationRedisError; end
  class RecordNotSaved < ApplicationRedisError; end
  class RecordNotDestroyed < ApplicationRedisError; end

  class << self
    attr_reader :fields

    def with_fields(*names)
      @fields = names
      names.each do |name|
        define_method(name) { @values[name] }
        define_method("#{name}=") do |value|
          @changed << name unless @values[name] == value || @changed.include?(name)
          @values[name] = value
        end
      end
    end

    def with_connection(&block)
      RedisStore.with_connection(&block)
    end

    def loaded(values)
      new(values).tap(&:forget_changes)
    end

    def create!(values = {})
      new(values).save!
    end
  end

  def initialize(values = {})
    @values, @changed, @new = {}, [], true
    values.each { |name, value| public_send("#{name}=", value) }
  end

  def forget_changes
    @changed = []
    @new = false
  end

  def changed?(name)
    @changed.include?(name)
  end

  def with_connection(&block)
    self.class.with_connection(&block)
  end

  def key
    self.class.key(id)
  end

  # A record is new and its id is free, or it is not new and still there.
  def check_saveable(redis, list)
    raise RecordNotSaved, 'Cannot update id field' if changed?(:id) && !@new

    self.id = SecureRandom.uuid if id.nil?
    there = redis.sismember(list, id)
    raise RecordNotSaved, "#{self.class} already exists with id '#{id}'" if changed?(:id) && there
    raise RecordNotSaved, "#{self.class} with id '#{id}' is deleted" if !changed?(:id) && !there
  end

  def check_destroyable
    raise RecordNotDestroyed, 'Object is not persisted' if @new
    raise RecordNotDestroyed, 'Object has uncommitted changes' unless @changed.empty?
  end
end

class Tenant < ApplicationRedisRecord
  with_fields :id, :name, :secrets

  def self.key(id) = "tenant:#{id}"
  def self.name_key(name) = "tenant_name:#{name}"

  # No uniqueness of names: the newest takes the host name over.
  def save!
    with_connection do |redis|
      check_saveable(redis, 'tenants')
      old = redis.hget(key, 'name')
      redis.multi do |pipeline|
        pipeline.hset(self.class.name_key(name), 'id', id) if changed?(:id) || changed?(:name)
        pipeline.del(self.class.name_key(old)) if !changed?(:id) && changed?(:name)
        pipeline.hset(key, 'name', name) if changed?(:name)
        pipeline.hset(key, 'secrets', secrets) if changed?(:secrets)
        pipeline.sadd('tenants', id)
      end
    end
    forget_changes
    self
  end

  # The index of the name goes too, whichever namesake it leads to; settings stay.
  def destroy!
    check_destroyable
    with_connection do |redis|
      redis.multi do |pipeline|
        pipeline.del(key)
        pipeline.del(self.class.name_key(name))
        pipeline.srem('tenants', id)
      end
    end
    self
  end

  def self.find(id)
    hash = with_connection { |redis| redis.hgetall(key(id)) }
    raise RecordNotFound, "Couldn't find Tenant with id=#{id}" if hash.empty?

    loaded(hash.slice('name', 'secrets').merge('id' => id))
  end

  def self.find_by_name(name)
    id = with_connection { |redis| redis.hget(name_key(name), 'id') }
    id && find(id)
  rescue RecordNotFound
    nil
  end

  def self.all
    with_connection { |redis| redis.smembers('tenants') }.map { |id| find(id) }
  end
end

class TenantSetting < ApplicationRedisRecord
  with_fields :id, :param, :value, :override, :tenant_id

  def self.key(id) = "tenant_setting:#{id}"

  # No check that the tenant exists, none that the parameter is not there yet.
  def save!
    with_connection do |redis|
      check_saveable(redis, "tenant_settings:#{tenant_id}")
      redis.multi do |pipeline|
        %i[param value override tenant_id].each { |name| pipeline.hset(key, name.to_s, public_send(name)) if changed?(name) }
        pipeline.sadd("tenant_settings:#{tenant_id}", id)
      end
    end
    forget_changes
    self
  end

  def destroy!
    check_destroyable
    with_connection do |redis|
      redis.del(key)
      redis.srem("tenant_settings:#{tenant_id}", id)
    end
    self
  end

  def self.find(id)
    hash = with_connection { |redis| redis.hgetall(key(id)) }
    raise RecordNotFound, "Couldn't find TenantSetting with id=#{id}" if hash.empty?

    loaded(hash.merge('id' => id))
  end

  def self.all(tenant_id)
    with_connection { |redis| redis.smembers("tenant_settings:#{tenant_id}") }.filter_map do |id|
      find(id)
    rescue RecordNotFound
      nil
    end
  end

  # Only the text "true" forces. Of two for one parameter, whichever comes last in the set.
  def self.defaults_and_overrides(tenant_id)
    return [{}, {}] if tenant_id.nil?

    forced, given = all(tenant_id).partition { |setting| setting.override == 'true' }
    [given, forced].map { |part| part.to_h { |setting| [setting.param.to_sym, setting.value] } }
  end
end

class Server < ApplicationRedisRecord
  with_fields :id, :url, :secret, :tag, :load, :online, :load_multiplier, :state

  def self.key(id) = "server:#{id}"
  def enabled? = state == 'enabled'
  def cordoned? = state == 'cordoned'
  def disabled? = state == 'disabled'
  def offline? = !online

  def save!
    with_connection do |redis|
      if id.nil?
        self.id = ENV.fetch('SERVER_ID_IS_HOSTNAME', 'false').casecmp?('true') ? URI.parse(url).host.downcase : SecureRandom.uuid
      end
      check_saveable(redis, 'servers')
      old = redis.zscore('server_load', id) || redis.zscore('cordoned_server_load', id)
      self.load ||= old if changed?(:state) && !disabled?
      redis.multi { |pipeline| write(pipeline) }
    end
    forget_changes
    self
  end

  def destroy!
    check_destroyable
    with_connection do |redis|
      redis.multi do |pipeline|
        pipeline.del(key)
        pipeline.srem('servers', id)
        pipeline.srem('server_enabled', id)
        pipeline.zrem('server_load', id)
        pipeline.zrem('cordoned_server_load', id)
      end
    end
    self
  end

  # Nothing for a server that gets no new meetings.
  def increment_load(amount)
    with_connection { |redis| redis.zadd('server_load', amount * (load_multiplier || 1.0).to_f, id, xx: true, incr: true) }
  end

  def count(name)
    with_connection { |redis| redis.hincrby(id, name, 1) }
  end

  def reset(name)
    with_connection { |redis| redis.hset(id, name, 0) }
  end

  def self.find(id)
    with_connection do |redis|
      hash = redis.hgetall(key(id))
      raise RecordNotFound, "Couldn't find Server with id=#{id}" if hash.empty?

      list = { 'enabled' => 'server_load', 'cordoned' => 'cordoned_server_load' }[hash['state']]
      kept = hash.slice('url', 'secret', 'tag', 'load_multiplier', 'state')
      loaded(kept.merge('id' => id, 'online' => hash['online'] == 'true', 'load' => list && redis.zscore(list, id)))
    end
  end

  def self.all
    with_connection { |redis| redis.smembers('servers') }.map { |id| find(id) }
  end

  # The one with the least load among those of a wished tag, else among those without; a wish that ends in ! is a must.
  def self.find_available(wish = nil)
    wish = nil if wish.to_s.empty?
    must = wish.to_s.end_with?('!')
    tags = wish&.delete_suffix('!')&.split(';')
    ready = with_connection { |redis| redis.zrange('server_load', 0, -1) }.map { |id| find(id) }
    raise RecordNotFound, 'Could not find any available servers.' if ready.empty?

    matching = tags ? ready.select { |server| tags.include?(server.tag || 'none') } : []
    raise BBBErrors::BBBError.new('serverTagUnavailable', "There is no available server with the required tag=#{wish}.") if matching.empty? && must

    matching = ready.reject(&:tag) if matching.empty?
    matching.first || raise(RecordNotFound, 'Could not find any available servers.')
  end

  private

  def write(pipeline)
    %i[url secret load_multiplier state].each { |name| pipeline.hset(key, name.to_s, public_send(name).to_s) if changed?(name) }
    if changed?(:tag)
      tag.to_s.empty? ? pipeline.hdel(key, 'tag') : pipeline.hset(key, 'tag', tag)
    end
    pipeline.hset(key, 'online', online ? 'true' : 'false')
    pipeline.sadd('servers', id)
    lists = { 'enabled' => 'server_load', 'cordoned' => 'cordoned_server_load' }
    enabled? ? pipeline.sadd('server_enabled', id) : pipeline.srem('server_enabled', id)
    lists.each do |of, list|
      if state == of && load
        pipeline.zadd(list, load, id)
      else
        pipeline.zrem(list, id)
      end
    end
  end
end

class Meeting < ApplicationRedisRecord
  with_fields :id, :server_id, :moderator_pw, :tenant_id, :voice_bridge

  def self.key(id) = "meeting:#{id}"

  def server
    Server.find(server_id)
  end

  # Another tenant's meeting is not found; IDs are not renamed.
  def self.find(id, tenant_id = nil)
    hash = with_connection { |redis| redis.hgetall(key(id)) }
    raise RecordNotFound, "Couldn't find Meeting with id=#{id}" if hash.empty? || (tenant_id && hash['tenant_id'] != tenant_id)

    loaded(hash.merge('id' => id))
  end

  def self.find_or_create_with_server!(id, server, moderator_pw, tenant_id)
    with_connection do |redis|
      unless redis.exists?(key(id))
        bridge = rand(100_000_000..999_999_999).to_s
        redis.multi do |pipeline|
          pipeline.hset(key(id), 'server_id', server.id, 'moderator_pw', moderator_pw, 'voice_bridge', bridge, 'tenant_id', tenant_id.to_s)
          pipeline.expire(key(id), Rails.configuration.x.default_meeting_ttl)
          pipeline.sadd('meetings', id)
          pipeline.hset('voice_bridges', bridge, id)
        end
      end
    end
    find(id, tenant_id)
  end

  def destroy!
    check_destroyable
    with_connection do |redis|
      redis.multi do |pipeline|
        pipeline.del(key)
        pipeline.srem('meetings', id)
        pipeline.hdel('voice_bridges', voice_bridge)
      end
    end
    self
  end

  def self.all
    with_connection { |redis| redis.smembers('meetings') }.filter_map do |id|
      find(id)
    rescue RecordNotFound
      nil
    end
  end
end
