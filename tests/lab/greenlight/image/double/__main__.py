# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What bin/rails and bin/rake do here. Exit codes as upstream's commands have them."""

from __future__ import annotations

import os
import sys
import typing as t

from . import config
from .config import BootError

Task = t.Callable[[list[str]], int]


def _tag() -> str:
    return config.env("VERSION_TAG") or "v3.8.2.4"


def _connect(database: str | None = None) -> t.Any:
    import psycopg2

    return psycopg2.connect(**config.database_arguments(database))  # type: ignore[arg-type]


def assets_precompile(arguments: list[str]) -> int:
    """Runs at each start upstream (bin/start)."""
    from .assets import task

    return task(arguments)


def db_create(_arguments: list[str]) -> int:
    """Rails' db:create: asks the database "postgres"; without CREATEDB the server refuses before it looks at the name."""
    import psycopg2
    from psycopg2 import errors, sql

    name = str(config.database_arguments()["dbname"])
    try:
        connection = _connect("postgres")
        connection.autocommit = True
        connection.cursor().execute(sql.SQL("CREATE DATABASE {} ENCODING 'unicode'").format(sql.Identifier(name)))
        print(f"Created database '{name}'")
    except errors.DuplicateDatabase:
        print(f"Database '{name}' already exists", file=sys.stderr)
    except psycopg2.Error as error:
        print(
            f"{str(error).strip()}\nCouldn't create '{name}' database. Please check your configuration.\nbin/rails aborted!",
            file=sys.stderr,
        )
        return 1
    return 0


def _migrate(with_data: bool) -> int:
    import psycopg2

    from . import migrations

    try:
        connection = _connect()
        print("\n".join(migrations.run(connection, _tag(), with_data)))
        connection.close()
    except (migrations.MigrationError, psycopg2.Error) as error:
        print(f"bin/rails aborted!\n{str(error).strip()}", file=sys.stderr)
        return 1
    return 0


def db_migrate(_arguments: list[str]) -> int:
    """Schema only."""
    return _migrate(with_data=False)


def db_migrate_with_data(_arguments: list[str]) -> int:
    """Schema and data (gem data_migrate)."""
    return _migrate(with_data=True)


def _abort_if_pending(schema: bool, data: bool) -> int:
    import psycopg2

    from . import migrations

    try:
        connection = _connect()
        cursor = connection.cursor()
        pending = (migrations.pending_schema(cursor, _tag()) if schema else []) + (migrations.pending_data(cursor, _tag()) if data else [])
        connection.close()
    except psycopg2.Error as error:
        print(f"bin/rails aborted!\n{str(error).strip()}", file=sys.stderr)
        return 1
    if not pending:
        return 0
    print(f"You have {len(pending)} pending migration{'s' if len(pending) > 1 else ''}:")
    for version in sorted(pending):
        print(f"  {version}")
    print("Run `rake db:migrate:with_data` to update your database then try again.", file=sys.stderr)
    return 1


def abort_if_pending_with_data(_arguments: list[str]) -> int:
    """db:abort_if_pending_migrations:with_data (gem data_migrate tasks/databases.rake)."""
    return _abort_if_pending(schema=True, data=True)


def abort_if_pending(_arguments: list[str]) -> int:
    """db:abort_if_pending_migrations: schema only."""
    return _abort_if_pending(schema=True, data=False)


def abort_if_pending_data(_arguments: list[str]) -> int:
    """data:abort_if_pending_migrations: data only."""
    return _abort_if_pending(schema=False, data=True)


def configuration_check(_arguments: list[str]) -> int:
    """greenlight lib/tasks/configuration.rake."""
    from .checks import configuration_check as check

    return check()


def user_create(arguments: list[str]) -> int:
    """greenlight lib/tasks/user.rake."""
    from .accounts import rake_user_create

    return rake_user_create(*(arguments + [None] * 4)[:4])  # type: ignore[arg-type]


def admin_create(arguments: list[str]) -> int:
    """greenlight lib/tasks/admin.rake: user:create with defaults; not idempotent."""
    from .accounts import rake_user_create

    defaults = ["Administrator", "admin@example.com", "Administrator1!"]
    given = arguments[:3] + defaults[len(arguments) :]
    return rake_user_create(given[0], given[1], given[2], "Administrator")


def admin_super_admin(arguments: list[str]) -> int:
    """greenlight lib/tasks/admin.rake admin:super_admin: provider bn, "superadmin-" before the address."""
    from .accounts import rake_user_create

    name, email, password = (arguments + [""] * 3)[:3]
    return rake_user_create(name, f"superadmin-{email}", password, "SuperAdmin", "bn")


def user_set_admin_role(arguments: list[str]) -> int:
    """greenlight lib/tasks/user.rake user:set_admin_role."""
    from .accounts import rake_set_admin_role

    return rake_set_admin_role(arguments[0] if arguments else None)


def server(arguments: list[str]) -> int:
    """rails s [-b ADDRESS] [-p PORT]."""
    address, port = "0.0.0.0", int(config.env("PORT") or "3000")
    options = dict(zip(arguments[::2], arguments[1::2], strict=False))
    address = options.get("-b", address)
    port = int(options.get("-p", port))
    config.check_server()
    from .server import serve

    return serve(address, port)


TASKS: dict[str, Task] = {
    "assets:precompile": assets_precompile,
    "db:create": db_create,
    "db:migrate": db_migrate,
    "db:migrate:with_data": db_migrate_with_data,
    "db:abort_if_pending_migrations": abort_if_pending,
    "db:abort_if_pending_migrations:with_data": abort_if_pending_with_data,
    "data:abort_if_pending_migrations": abort_if_pending_data,
    "configuration:check": configuration_check,
    "user:create": user_create,
    "admin:create": admin_create,
    "admin:super_admin": admin_super_admin,
    "user:set_admin_role": user_set_admin_role,
    "s": server,
    "server": server,
}


def main(argv: list[str]) -> int:
    """One command; "name[a,b]" carries arguments as rake splits them."""
    if not argv:
        print("usage: rails COMMAND", file=sys.stderr)
        return 1
    name, _other, rest = argv[0].partition("[")
    arguments = rest.rstrip("]").split(",") if rest else argv[1:]
    task = TASKS.get(name)
    if task is None:
        print(f'Unrecognized command "{name}" (Rails::Command::UnrecognizedCommandError)', file=sys.stderr)
        return 1
    try:
        config.check_boot()
        return task(arguments)
    except BootError as error:
        print(f"bin/rails aborted!\n{error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    os.environ.setdefault("RAILS_ENV", "development")
    sys.exit(main(sys.argv[1:]))
