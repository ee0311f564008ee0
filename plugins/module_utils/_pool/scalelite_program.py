# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the Ruby program that looks at a Scalelite and changes it, run by its own ``rails runner`` with its own models.

It is sent over stdin together with what it shall do, so that neither a file nor the process list ever holds a secret. Everything is read in
a few pipelined calls by the models' own keys; everything is written by the models, which refuse what does not fit.
"""

from __future__ import annotations

import base64
import json
import typing as t

MARK = "meet.coop:"
"""How the line begins that holds the answer; all other output is somebody else's."""

PROGRAM = r"""
require 'base64'
require 'json'

module CoopPool
  SLICE = 1000
  module_function

  def run(given)
    # A client that is killed leaves this program running: the next one waits for it.
    File.open('/tmp/meet-coop-pool.lock', File::RDWR | File::CREAT, 0o600) do |lock|
      lock.flock(File::LOCK_EX)
      given['operations'].each { |operation| send("do_#{operation.delete('do')}", **operation.transform_keys(&:to_sym)) }
      look
    end
  end

  def redis(&)
    RedisStore.with_connection(&)
  end

  def hashes(keys)
    redis do |store|
      keys.each_slice(SLICE).flat_map { |part| store.pipelined { |pipeline| part.each { |key| pipeline.hgetall(key) } } }
    end
  end

  def sets(keys)
    redis do |store|
      keys.each_slice(SLICE).flat_map { |part| store.pipelined { |pipeline| part.each { |key| pipeline.smembers(key) } } }
    end
  end

  def tenants
    ids = redis { |store| store.smembers('tenants') }
    found = ids.zip(hashes(ids.map { |id| Tenant.key(id) })).reject { |_id, hash| hash.empty? }
    index = hashes(found.map { |_id, hash| Tenant.name_key(hash['name']) })
    found.zip(index).map do |(id, hash), leads|
      { id: id, name: hash['name'].to_s, secrets: hash['secrets'].to_s, answers: leads['id'] == id }
    end
  end

  def settings
    lists = redis { |store| store.scan_each(match: 'tenant_settings:*', count: SLICE).to_a.uniq }
    owners = lists.map { |key| key.delete_prefix('tenant_settings:') }
    rows = owners.zip(sets(owners.map { |owner| "tenant_settings:#{owner}" })).flat_map { |owner, ids| ids.map { |id| [owner, id] } }
    rows.zip(hashes(rows.map { |_owner, id| TenantSetting.key(id) })).map do |(owner, id), hash|
      { id: id, tenant_id: owner, param: hash['param'].to_s, value: hash['value'].to_s, override: hash['override'] == 'true' }
    end
  end

  def servers
    Server.all.map do |server|
      state = server.enabled? ? 'enabled' : (server.cordoned? ? 'cordoned' : 'disabled')
      { id: server.id, url: server.url, secret: server.secret.to_s, tag: server.tag.to_s, state: state,
        online: server.online ? true : false, load: server.load&.to_f }
    end
  end

  def meetings
    ids = redis { |store| store.smembers('meetings') }
    hashes(ids.map { |id| Meeting.key(id) }).filter_map { |hash| hash['server_id'] }.tally
  end

  def clamps?
    Object.const_defined?(:CoopScalelite) && ApiHelper.ancestors.include?(CoopScalelite)
  end

  def look
    settings = Rails.configuration.x
    { multitenancy: settings.multitenancy_enabled, excluded: settings.create_exclude_params,
      forced: settings.override_create_params.transform_keys(&:to_s), clamps: clamps?,
      tenants: tenants, settings: self.settings, servers: servers, meetings: meetings }
  end

  # The caps come before the tenant that they bind: a run that ends in between leaves rows that bind nobody, and the next clears them away.
  def do_tenant_add(id:, name:, secrets:, settings:)
    settings.each { |one| do_setting_add(tenant_id: id, **one.transform_keys(&:to_sym)) }
    Tenant.new(id: id, name: name, secrets: secrets).save!
  end

  def do_tenant_set(id:, secrets:)
    tenant = Tenant.find(id)
    tenant.secrets = secrets
    tenant.save!
  end

  # Which of two namesakes answers is what this key says; deleting one of them deletes it.
  def do_tenant_lead(id:, name:)
    redis { |store| store.hset(Tenant.name_key(name), 'id', id) }
  end

  def do_tenant_remove(id:)
    Tenant.find(id).destroy!
    do_settings_remove(tenant_id: id)
  end

  def do_settings_remove(tenant_id:)
    redis do |store|
      ids = store.smembers("tenant_settings:#{tenant_id}")
      store.del("tenant_settings:#{tenant_id}", *ids.map { |id| TenantSetting.key(id) })
    end
  end

  def do_setting_add(tenant_id:, param:, value:, override:)
    TenantSetting.new(tenant_id: tenant_id, param: param, value: value, override: override).save!
  end

  def do_setting_set(id:, value:, override:)
    setting = TenantSetting.find(id)
    setting.value = value
    setting.override = override
    setting.save!
  end

  # By its keys: a row that has lost its contents cannot be found, and would stay listed.
  def do_setting_remove(id:, tenant_id:)
    redis do |store|
      store.multi do |transaction|
        transaction.del(TenantSetting.key(id))
        transaction.srem("tenant_settings:#{tenant_id}", id)
      end
    end
  end

  def do_server_add(id:, url:, secret:, tag:, state:)
    server = Server.new(id: id, url: url, secret: secret, tag: tag, load_multiplier: 1.0)
    server.state = state
    server.save!
  end

  def do_server_set(id:, secret:, tag:, enabled:)
    server = Server.find(id)
    server.secret = secret
    server.tag = tag
    if enabled
      server.state = 'enabled' unless server.enabled?
    elsif server.enabled?
      server.state = 'cordoned'
    end
    server.save!
  end

  # Without waiting for a poll, for a node that has just answered. The next poll puts its real load there.
  def do_server_now(id:)
    server = Server.find(id)
    server.online = true
    server.load = 0.0 if server.load.nil?
    server.save!
  end

  # A meeting that began since somebody looked keeps it.
  def do_server_remove(id:)
    server = Server.find(id)
    if server.enabled?
      server.state = 'cordoned'
      server.save!
    end
    Server.find(id).destroy! unless meetings.key?(id)
  end
end

begin
  puts "\n#{COOP_MARK}#{JSON.generate(CoopPool.run(JSON.parse(Base64.decode64(COOP_GIVEN))))}"
rescue StandardError => e
  warn "#{e.class}: #{e.message.lines.first}"
  exit 1
end
"""


def script(operations: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    """The whole text for ``rails runner -``: what to do, in order, and the program that does it."""
    given = base64.b64encode(json.dumps({"operations": list(operations)}).encode()).decode()
    return f"COOP_MARK = '{MARK}'\nCOOP_GIVEN = '{given}'\n{PROGRAM}"


def answer(output: str) -> dict[str, t.Any]:
    """What the program found at its end. Raises ValueError when it is not there."""
    for line in reversed(output.splitlines()):
        if line.startswith(MARK):
            found = json.loads(line[len(MARK) :])
            if isinstance(found, dict):
                return found
    raise ValueError("no answer")
