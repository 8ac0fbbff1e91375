# frozen_string_literal: true

require_relative "../support/servers"

# A pod: one server process at an address of its own. Knows nothing of the kubelet, the data plane or the clients.
module Rollout
  class Pod
    APP = File.expand_path("app.ru", __dir__)
    NUMBERS = 1..99 # of addresses; a number comes again when its last pod is long gone

    attr_reader :name, :host, :port, :admin_port

    # `count` is how many pods there have been, this one included.
    def initialize(kind, count:, place:, settings:)
      @name = "pod #{count}"
      @host = place.pod_host((count - 1) % NUMBERS.size + 1)
      @port = place.port(@host, 9292)
      @admin_port = place.port(@host, 9393)
      @server = at(kind, place, settings).start(host: @host, port: @port, app: APP, drain_delay: settings.drain_delay)
    end

    # Waits until it says that it serves; what says nothing is probed by the kubelet.
    def ready! = @server.kind.ready && @server.ready!

    def signal(name) = @server.child.signal(name)

    def address = @server.address

    # Waits for its end; false when the time is over first.
    def ended?(within: 0) = !@server.child.wait(within: [within, 0].max).nil?

    def ended_at = @server.child.ended_at
    def outcome = @server.child.outcome
    def output = @server.child.output

    # Ends it at once and reads its output to the end.
    def kill = @server.child.stop(signal: :KILL)

    def stop = @server.child.stop(signal: :INT, within: 5)

    private

    # The server of that kind on the pods' side, told what its deployment would tell it.
    def at(kind, place, settings)
      env = { "TIDEGATE_ADMIN" => "tcp://#{@host}:#{@admin_port}", "TIDEGATE_TERMINATION_GRACE" => settings.grace.to_s,
              "TIDEGATE_PRESTOP" => settings.prestop.to_s, "ROLLOUT_SLOW" => settings.slow.to_s,
              "WEB_CONCURRENCY" => (settings.workers.to_s if settings.workers.positive?) }
      kind.dup.tap do |it|
        it.command = [*place.inside(:pods), *kind.command]
        it.env = kind.env.merge(env)
      end
    end
  end
end
