# frozen_string_literal: true

# Tidegate: a Rack web server with a Rust core. Requiring this file starts nothing, reads no environment variable and
# loads no native code: each part is loaded when it is first named.

require_relative "tidegate/version"
require_relative "tidegate/error"

module Tidegate
  autoload :AddressTrial, "tidegate/command/address_trial"
  autoload :AdminToken, "tidegate/configuration/admin_token"
  autoload :AppLoader, "tidegate/command/app_loader"
  autoload :AppLog, "tidegate/log/app_log"
  autoload :Arenas, "tidegate/command/arenas"
  autoload :AroundApp, "tidegate/rack/around_app"
  autoload :Backtraces, "tidegate/log/backtraces"
  autoload :Banner, "tidegate/command/banner"
  autoload :BootFailure, "tidegate/command/boot_failure"
  autoload :Boots, "tidegate/cluster/boots"
  autoload :BufferLimit, "tidegate/configuration/buffer_limit"
  autoload :CLI, "tidegate/command/cli"
  autoload :CPUQuota, "tidegate/configuration/cpu_quota"
  autoload :CableDrain, "tidegate/drain/cable"
  autoload :Check, "tidegate/command/check"
  autoload :Checkup, "tidegate/cluster/checkup"
  autoload :ClusterDrain, "tidegate/cluster/cluster_drain"
  autoload :Configuration, "tidegate/configuration"
  autoload :Control, "tidegate/control"
  autoload :ControlGroups, "tidegate/configuration/control_groups"
  autoload :DSL, "tidegate/configuration/dsl"
  autoload :Delivery, "tidegate/rack/delivery"
  autoload :Descriptors, "tidegate/command/descriptors"
  autoload :DrainHooks, "tidegate/drain/hooks"
  autoload :EmptyInput, "tidegate/rack/empty_input"
  autoload :EnsureClauses, "tidegate/pool/ensure_clauses"
  autoload :ErrorReport, "tidegate/log/error_report"
  autoload :EventStreams, "tidegate/event_streams"
  autoload :Fault, "tidegate/configuration/fault"
  autoload :FromPuma, "tidegate/configuration/from_puma"
  autoload :GCFigures, "tidegate/log/gc_figures"
  autoload :Hangup, "tidegate/command/hangup"
  autoload :Hijacked, "tidegate/rack/hijacked"
  autoload :Hooks, "tidegate/hooks"
  autoload :IdleStop, "tidegate/command/idle_stop"
  autoload :Image, "tidegate/command/image"
  autoload :InheritedSockets, "tidegate/command/inherited_sockets"
  autoload :Interrupter, "tidegate/pool/interrupter"
  autoload :KeptThread, "tidegate/pool/kept_thread"
  autoload :KeyedHook, "tidegate/hooks"
  autoload :Launcher, "tidegate/command/launcher"
  autoload :Leadership, "tidegate/cluster/leadership"
  autoload :Log, "tidegate/log"
  autoload :Master, "tidegate/cluster/master"
  autoload :MemoryQuota, "tidegate/configuration/memory_quota"
  autoload :Mold, "tidegate/cluster/mold"
  autoload :Native, "tidegate/native"
  autoload :NativeSettings, "tidegate/configuration/native_settings"
  autoload :Nearest, "tidegate/configuration/nearest"
  autoload :Nursery, "tidegate/cluster/nursery"
  autoload :Occupant, "tidegate/command/occupant"
  autoload :OtherSignals, "tidegate/command/other_signals"
  autoload :Outlet, "tidegate/log/outlet"
  autoload :OutOfBand, "tidegate/pool/out_of_band"
  autoload :PidOne, "tidegate/command/pid_one"
  autoload :Pidfile, "tidegate/command/pidfile"
  autoload :Places, "tidegate/pool/places"
  autoload :Platform, "tidegate/command/platform"
  autoload :Printable, "tidegate/log/printable"
  autoload :PumaCompat, "tidegate/puma_compat/names"
  autoload :PumaControl, "tidegate/configuration/puma_control"
  autoload :PumaDSL, "tidegate/configuration/puma_dsl"
  autoload :PumaFlags, "tidegate/configuration/puma_flags"
  autoload :PumaOptions, "tidegate/configuration/puma_options"
  autoload :RackEnv, "tidegate/rack/env"
  autoload :RackHandler, "tidegate/rack/handler"
  autoload :Redirect, "tidegate/log/redirect"
  autoload :RestartFile, "tidegate/command/restart_file"
  autoload :RetiredThreads, "tidegate/pool/retired_threads"
  autoload :Roster, "tidegate/cluster/roster"
  autoload :Running, "tidegate/running"
  autoload :Server, "tidegate/server"
  autoload :Signals, "tidegate/command/signals"
  autoload :SingleRestart, "tidegate/command/single_restart"
  autoload :SpooledInput, "tidegate/rack/spooled_input"
  autoload :StateFile, "tidegate/command/state_file"
  autoload :StreamInput, "tidegate/rack/stream_input"
  autoload :Supervisor, "tidegate/cluster/supervisor"
  autoload :Surroundings, "tidegate/command/surroundings"
  autoload :Systemd, "tidegate/command/systemd"
  autoload :SystemdTurns, "tidegate/cluster/systemd_turns"
  autoload :TemporaryDirectory, "tidegate/command/temporary_directory"
  autoload :TemporarySocket, "tidegate/command/temporary_socket"
  autoload :ThreadLimit, "tidegate/pool/thread_limit"
  autoload :ThreadRoom, "tidegate/pool/thread_room"
  autoload :ThreadStack, "tidegate/pool/thread_stack"
  autoload :UnledWorkers, "tidegate/cluster/unled_workers"
  autoload :WorkerCount, "tidegate/configuration/worker_count"
  autoload :WorkerEnd, "tidegate/cluster/worker_end"
  autoload :WorkerHandle, "tidegate/cluster/worker_handle"
  autoload :WorkerParts, "tidegate/cluster/worker_parts"
  autoload :WorkerPool, "tidegate/pool/worker_pool"
  autoload :WorkerProcess, "tidegate/cluster/worker_process"

  # What a server may first need late: all of these directories, and these parts of others.
  LATE_DIRECTORIES = %r{\Atidegate/(?:cluster|control|drain|log|pool|rack)(?:/|\z)}
  LATE = %i[BootFailure EventStreams Fault Hooks Image Native Occupant RestartFile Running SingleRestart Systemd].freeze
  private_constant :LATE_DIRECTORIES, :LATE

  # Loads it. A server does so before it listens: later there may be no file that can be opened any more, or a hook has given up the
  # right to read them.
  # @api private
  def self.load_late_parts
    constants.each { |name| const_get(name) if LATE.include?(name) || autoload?(name)&.match?(LATE_DIRECTORIES) }
    Control.const_get(:Answerer) # of its other parts the command `tidegate ctl` is
  end

  # Whether a server of this process has been told to stop: for code that holds connections or runs long, and does not have
  # the env of a request. In a request `env["tidegate.draining"].call` says it of the server that serves the request.
  # @return [Boolean]
  def self.draining? = Running.servers.any?(&:draining?)
end

require_relative "tidegate/railtie" if defined?(Rails::Railtie)
