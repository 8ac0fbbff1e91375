# frozen_string_literal: true

# Tidegate: a Rack web server with a Rust core. Requiring this starts nothing, reads no environment variable and
# loads no native code: each part comes when it is first named.

require_relative "tidegate/version"
require_relative "tidegate/error"

module Tidegate
  autoload :AdminToken, "tidegate/admin_token"
  autoload :AppLoader, "tidegate/app_loader"
  autoload :Arenas, "tidegate/arenas"
  autoload :CableDrain, "tidegate/cable_drain"
  autoload :Check, "tidegate/check"
  autoload :CLI, "tidegate/cli"
  autoload :Configuration, "tidegate/configuration"
  autoload :Delivery, "tidegate/delivery"
  autoload :Descriptors, "tidegate/descriptors"
  autoload :DrainHooks, "tidegate/drain_hooks"
  autoload :DSL, "tidegate/dsl"
  autoload :EmptyInput, "tidegate/empty_input"
  autoload :ErrorReport, "tidegate/error_report"
  autoload :EventStreams, "tidegate/event_streams"
  autoload :Fault, "tidegate/fault"
  autoload :Hijacked, "tidegate/hijacked"
  autoload :Hooks, "tidegate/hooks"
  autoload :KeptThread, "tidegate/kept_thread"
  autoload :Launcher, "tidegate/launcher"
  autoload :Log, "tidegate/log"
  autoload :Native, "tidegate/native"
  autoload :Nearest, "tidegate/nearest"
  autoload :Pidfile, "tidegate/pidfile"
  autoload :PidOne, "tidegate/pid_one"
  autoload :Platform, "tidegate/platform"
  autoload :Printable, "tidegate/printable"
  autoload :PumaDSL, "tidegate/puma_dsl"
  autoload :PumaFlags, "tidegate/puma_flags"
  autoload :RackEnv, "tidegate/rack_env"
  autoload :RackHandler, "tidegate/rack_handler"
  autoload :Restart, "tidegate/restart"
  autoload :Running, "tidegate/running"
  autoload :Server, "tidegate/server"
  autoload :Signals, "tidegate/signals"
  autoload :SpooledInput, "tidegate/spooled_input"
  autoload :StreamInput, "tidegate/stream_input"
  autoload :Surroundings, "tidegate/surroundings"
  autoload :Systemd, "tidegate/systemd"
  autoload :TemporaryDirectory, "tidegate/temporary_directory"
  autoload :ThreadLimit, "tidegate/thread_limit"
  autoload :WorkerPool, "tidegate/worker_pool"

  # What a server may come to need when no file can be opened any more.
  LATE = %i[CableDrain DrainHooks ErrorReport Fault Hooks KeptThread Printable Restart Running Systemd WorkerPool].freeze
  private_constant :LATE

  # Loads that. A server does so before it listens.
  def self.load_late_parts = LATE.each { |name| const_get(name) }

  # Whether a server of this process has been told to stop: for code that holds connections or runs long, and may be
  # without the request's env. In a request `env["tidegate.draining"].call` says it of the server that serves it.
  def self.draining? = Running.servers.any?(&:draining?)
end
