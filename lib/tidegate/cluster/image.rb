# frozen_string_literal: true

# The program that a master runs, as something that can be replaced: first the new one is tried in a child, which boots and serves
# nothing; then it takes the place of the old in the same process, so that the workers stay its children and the sockets stay open.

require "json"
require "socket"

module Tidegate
  class Image
    # In the environment of a child that only tries to boot.
    TRIAL = "TIDEGATE_TRIAL"

    # What an image passes on to the next.
    PASSED_ON = "TIDEGATE_CLUSTER"

    # A child that tries to boot.
    Trial = Data.define(:pid) do
      def kill
        Process.kill(:TERM, pid)
      rescue Errno::ESRCH
        nil
      end
    end

    # Whether this process is only to try.
    def self.trial?(env) = env.key?(TRIAL)

    # What the image before this one has passed on; nil if there was none. It is read once.
    def self.legacy(env)
      text = env.delete(PASSED_ON) or return

      JSON.parse(text, symbolize_names: true).tap { |legacy| legacy[:pid] == Process.pid or return }
    rescue JSON::ParserError
      nil
    end

    # The workers of the image before this one, as a Supervisor takes them.
    def self.workers(legacy)
      return {} unless legacy

      handles = legacy[:workers].map do |worker|
        control = UNIXSocket.for_fd(worker[:control]).tap { |socket| socket.close_on_exec = true }
        WorkerHandle.new(index: worker[:index], slot: nil, control:, pid: worker[:pid], phase: worker[:phase],
                         state: worker[:leaves] ? :retiring : :serving)
      end
      { legacy: handles, phase: legacy[:phase] }
    end

    # +command+ is a list of words, or text for the shell, run in +directory+; nil if it is not known.
    def initialize(command, directory)
      @command = command
      @directory = directory
    end

    def known? = !@command.nil?

    # Starts the trial.
    # @raise [Error] if the system does not
    def try
      Trial.new(spawn({ TRIAL => "1" }, *@command, chdir: @directory))
    rescue SystemCallError => error
      raise Error, "cannot restart: #{Fault.reason(error)}"
    end

    # Replaces the program. Does not return; raises an Error if that fails. Signals that come meanwhile are kept for the new one.
    def replace(listeners:, adoption: nil, workers: [], phase: 0)
      legacy = { pid: Process.pid, adoption:, phase:, workers: workers.map { |worker| legacy_of(worker) } }
      descriptors = [*listeners.map(&:last), *adoption, *workers.map { |worker| worker.control.fileno }]
      descriptors.each { |descriptor| IO.for_fd(descriptor, autoclose: false).close_on_exec = false }
      Native.hold_signals
      exec({ PASSED_ON => JSON.generate(legacy), **Inherited.to_env(listeners) }, *@command, chdir: @directory)
    rescue SystemCallError => error
      Native.release_signals
      raise Error, "cannot restart: #{Fault.reason(error)}"
    end

    private

    def legacy_of(worker) = { pid: worker.pid, index: worker.index, control: worker.control.fileno, phase: worker.phase, leaves: worker.retiring? }
  end
end
