# frozen_string_literal: true

require_relative "../support/certificate"
require_relative "generator"
require_relative "proxy"
require_relative "turn"
require_relative "usage"

# One server on one workload, from its start to its end: a fresh process, warmed up, measured, stopped.
module Comparison
  class Stage
    HOST = "127.0.0.1"
    BOOT = 60 # seconds; Rails on a busy machine

    # `proxy`: the load goes through HAProxy. `settle`: seconds, in the place of the workload's.
    def initialize(workload, generator:, warm_up:, proxy: false, settle: nil)
      @workload, @generator, @warm_up, @proxy = workload, generator, warm_up, proxy
      @settle = settle
    end

    # Yields the server, its Usage and the memory before any load, when it has been warmed up. `kind` says how it is started.
    def with(kind)
      kind = encrypted(kind) if @workload.tls
      server = kind.start(host: HOST, port: Rig::Servers.free_port(HOST), app: @workload.app).ready!(within: BOOT)
      same_answers!(server)
      proxy = Proxy.new(server.address) if @proxy
      # A server with an address of its own: the load goes there.
      asked = proxy ? server.at(*proxy.address) : server
      usage = Usage.new(server.child.pid)
      fresh = usage.pss
      @generator.measure(asked.address, @workload.first_clients, seconds: @warm_up)
      yield asked, usage, fresh
    ensure
      proxy&.stop
      server&.child&.stop(signal: :INT)
      @certificate&.remove
    end

    # A turn of that contestant. `whole`: also without the clients that come later, with the connections that keep still, and until
    # the memory has settled, where the workload has such a thing.
    def turn(contestant, round, seconds:, whole: true)
      with(contestant.kind) do |server, usage, fresh|
        without = @generator.measure(server.address, @workload.first_clients, seconds:) if whole && (@workload.idle || @workload.without?)
        turn = whole && @workload.idle ? beside_idle(contestant, round, server, usage, seconds) : measure(contestant, round, server, usage, seconds)
        turn.fresh, turn.p99_without = fresh, without&.values&.first&.p99
        turn.settled = settled(usage) if whole && @workload.settle
        turn
      end
    end

    private

    # Beside the connections that keep still.
    def beside_idle(contestant, round, server, usage, seconds)
      before = usage.pss
      turn = each_kib = nil
      closed = @generator.hold(server.address, @workload.clients.first, @workload.idle) do
        each_kib = (usage.pss - before) * 1024 / @workload.idle
        turn = measure(contestant, round, server, usage, seconds)
      end
      turn.idle_kib, turn.idle_closed = each_kib, closed
      turn
    end

    # The memory when the server has been left alone for that long.
    def settled(usage)
      sleep(@settle || @workload.settle)
      usage.pss
    end

    # The same server with a certificate of its own.
    def encrypted(kind)
      plain = "tcp://{host}:{port}"
      raise Rig::Missing, "#{kind.name} is not known with TLS" unless kind.command.include?(plain)

      @certificate = Rig::Certificate.new(@workload.tls)
      kind.dup.tap { |it| it.command = it.command.map { |word| word == plain ? @certificate.bind("{host}:{port}") : word } }
    end

    def measure(contestant, round, server, usage, seconds)
      cpu, switches = usage.cpu, usage.switches
      samples = @generator.measure(server.address, @workload.clients, seconds:)
      still_there!(contestant, server)
      spent = usage.cpu - cpu
      voluntary, involuntary = Usage.switched(switches, usage.switches)
      requests = samples.values.sum(&:finished)
      raise Rig::Unavailable, "#{contestant.name} answered nothing: #{samples.values.map(&:failures)}" if requests.zero?

      Turn.new(server: contestant.name, round:, samples:, cpu: spent * 1e6 / requests, switches: (voluntary + involuntary).fdiv(requests),
               voluntary: voluntary.fdiv(requests), pss: usage.pss, peak: usage.peak)
    end

    # One that has ended would be without CPU and memory.
    def still_there!(contestant, server)
      return if server.child.alive?

      raise Rig::Unavailable, "#{contestant.name} has ended under the load (#{server.child.outcome}): #{last_words(server)}"
    end

    def last_words(server) = server.child.output.last(4).join(" | ")

    def same_answers!(server)
      answers = @workload.answers(server)
      return if answers == (@answers ||= answers) && answers.all? { |status, _| status == "200" }

      raise Rig::Unavailable, "#{server.kind.name} answers #{answers.inspect[0, 80]}, not #{@answers.inspect[0, 80]}"
    # One that listens may end all the same.
    rescue SystemCallError, IOError, Timeout::Error => error
      raise Rig::Unavailable, "#{server.kind.name} does not answer (#{error.message}; #{server.child.outcome}): #{last_words(server)}"
    end
  end
end
