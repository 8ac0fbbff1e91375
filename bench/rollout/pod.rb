# frozen_string_literal: true

require_relative "../support/servers"

# A pod and its kubelet: one server process at an address of its own, started, told to end, and killed at
# the end of its grace period. Knows nothing of who sends it requests.
module Rollout
  class Pod
    APP = File.expand_path("app.ru", __dir__)

    # How a pod ended: the words for people, the seconds from TERM to the end, whether the grace was exceeded,
    # and what it said in its life.
    Ending = Struct.new(:pod, :outcome, :seconds, :killed, :log)

    attr_reader :name

    def initialize(kind, number:, generation:, drain_delay:)
      @name = "pod #{number}.#{generation}"
      host = "127.0.1.#{number}"
      @server = kind.start(host:, port: Rig::Servers.free_port(host), app: APP, drain_delay:)
    end

    def host = @server.host
    def port = @server.port

    def ready!
      @server.ready!
      self
    end

    def terminate
      @terminated_at = Rig.now
      @server.child.signal(:TERM)
      @terminated_at
    end

    # Waits for the end that TERM began; after `grace` seconds the process is killed.
    def wait(grace:)
      child = @server.child
      killed = !child.wait(within: [@terminated_at + grace - Rig.now, 0].max)
      child.stop(signal: :KILL) # and in any case reads its output to the end
      Ending.new(name, child.outcome, (child.ended_at - @terminated_at).round(2), killed, child.output)
    end

    # Whether it has ended before that time.
    def ended_within?(seconds) = !@server.child.wait(within: seconds).nil?

    def ended_at = @server.child.ended_at

    def stop = @server.child.stop(signal: :INT, within: 5)
  end
end
