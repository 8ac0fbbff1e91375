# frozen_string_literal: true

# The program that this process runs, as something that can be replaced. First the new one is tried in a child, which boots and serves
# nothing; then it takes the place of the old in the same process, so that the sockets stay open and workers stay its children.

require "json"
require "rbconfig"
require "socket"

module Tidegate
  class Image
    # In the environment of a child that only tries to boot.
    TRIAL = "TIDEGATE_TRIAL"

    # What an image passes on to the next.
    LEGACY = "TIDEGATE_LEGACY"

    # Signals that the new image is not to die of. Ruby unblocks all signals when it starts, before the program can trap any; those that
    # are ignored it leaves so.
    STEERING = %w[USR1 USR2 URG TTIN TTOU].freeze

    # The words of the command that started this process; nil if they are not known any more. A program that sets a process title,
    # as `bundle exec` does, overwrites what the system has of them.
    def self.own_command
      words = File.exist?("/proc/self/cmdline") ? File.read("/proc/self/cmdline").split("\0") : []
      program = words.index($PROGRAM_NAME)
      return [RbConfig.ruby, *words.drop(1)] if program&.positive?

      [RbConfig.ruby, $PROGRAM_NAME, *ARGV] if File.basename($PROGRAM_NAME) == "tidegate"
    end

    # Whether this process is only to try.
    def self.trial?(env) = env.key?(TRIAL)

    # What the image before this one has passed on; nil if there was none. It can be read once.
    def self.legacy(env) = read(env.delete(LEGACY))

    # The same of the variable's +text+, which may be nil.
    def self.read(text)
      return unless text

      legacy = JSON.parse(text, symbolize_names: true)
      legacy if legacy[:pid] == Process.pid
    rescue JSON::ParserError
      nil
    end

    # The workers of the image before this one, as keywords of a Supervisor.
    def self.workers(legacy)
      return {} unless legacy

      handles = legacy[:workers].map do |worker|
        control = UNIXSocket.for_fd(worker[:control])
        control.close_on_exec = true
        WorkerHandle.new(index: worker[:index], slot: nil, control:, pid: worker[:pid], state: worker[:state].to_sym)
      end
      { legacy: handles, phase: legacy[:phase] }
    end

    # The keys by which the image before this one has let clients resume TLS sessions; nil if there are none.
    def self.ticket_keys(legacy)
      descriptor = legacy&.fetch(:tickets, nil) or return

      IO.for_fd(descriptor).then { |pipe| pipe.binmode.read.tap { pipe.close } }
    rescue SystemCallError
      nil # each client shakes hands once more
    end

    # Has the workers of the image before this one leave, where this one serves alone.
    def self.release_workers(legacy)
      legacy&.fetch(:workers)&.each do |worker|
        Process.detach(worker[:pid])
        UNIXSocket.for_fd(worker[:control], autoclose: false).write_nonblock(WorkerHandle::RETIRE, exception: false)
      end
    end

    # +command+ is a list of words, or text for the shell, run in +directory+; nil if it is not known. With +trial+ false the command has
    # effects beside a boot, as `rails server` has, and is not tried.
    def initialize(command, directory, trial: true)
      @command = command
      @directory = directory
      @trial = trial
    end

    def known? = !@command.nil?

    # Whether the new image is tried first.
    def tries? = @trial

    # Starts the trial, and returns the pid of the child; nil if there is to be none.
    # @raise [Error] if the system does not
    def try
      spawn({ TRIAL => "1" }, *@command, chdir: @directory) if @trial
    rescue SystemCallError => error
      raise Error, "cannot restart: #{Fault.reason(error)}"
    end

    # Decides that the image is to be replaced, and what the new one is to find.
    # +ticket_keys+ are a secret, and go through a pipe.
    def wish(sockets:, adoption: nil, workers: [], phase: 0, ticket_keys: "")
      @tickets = pipe_of(ticket_keys) unless ticket_keys.empty?
      @legacy = { pid: Process.pid, adoption:, phase:, tickets: @tickets&.fileno, workers: workers.map { |worker| legacy_of(worker) } }
      @env, @descriptors = InheritedSockets.handed_on(sockets)
      @descriptors[@tickets.fileno] = @tickets.fileno if @tickets
      [*adoption, *workers.map { |worker| worker.control.fileno }].each { |descriptor| @descriptors[descriptor] = descriptor }
    end

    # Whether it is to be replaced.
    def wished? = !@legacy.nil?

    # What the new one is to find, as Image.legacy returns it.
    attr_reader :legacy

    # Takes the wish back.
    def stay = @legacy = nil

    # Replaces the image, unless the block says that a signal has come meanwhile. Those that come from then on are kept for the new one.
    # @raise [Error]
    def replace
      Native.hold_signals
      return Native.release_signals if yield

      steering = OtherSignals.terminal? ? STEERING : [*STEERING, "HUP"] # where HUP does not mean that the terminal has gone
      before = steering.to_h { |name| [name, Signal.trap(name, "IGNORE")] }
      exec({ LEGACY => JSON.generate(@legacy), **@env }, *@command, chdir: @directory, **@descriptors)
    rescue SystemCallError => error
      before&.each { |name, handler| Signal.trap(name, handler || "DEFAULT") }
      Native.release_signals
      raise Error, "cannot restart: #{Fault.reason(error)}"
    end

    private

    # An end of a pipe from which that can be read once; there is room for it.
    def pipe_of(bytes)
      reader, writer = IO.pipe
      writer.binmode.write(bytes)
      writer.close
      reader
    end

    def legacy_of(worker) = { pid: worker.pid, index: worker.index, control: worker.control.fileno, state: worker.state }
  end
end
