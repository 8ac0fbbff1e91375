# frozen_string_literal: true

require "socket"
require_relative "clients"
require_relative "pod"

module Dashboard
  # What may happen to a Deployment, in three minutes: load, a rush, requests that hang, slow clients, a worker and a container that die,
  # and a rollout whose routes change too late. Afterwards each panel of the dashboard has something to show.
  class Day
    STEADY = { "/wait" => 8, "/compute" => 6, "/" => 6, "/missing" => 1, "/broken" => 1 }.freeze
    # Bytes that a client takes of a large response, and then it reads none.
    SMALL_WINDOW = 2048

    # What the clients have seen, by status.
    attr_reader :statuses

    # +scrape+ is called with the pods whenever there are others; with +say+ it tells what it does.
    def initialize(scrape:, say:)
      @scrape, @say = scrape, say
      @statuses = Hash.new(0)
      # Not those of another run at the same time.
      @net = "127.#{64 + (Process.pid % 64)}.#{(Process.pid / 64) % 250}"
      @pods, @routed, @sockets = [], [], []
    end

    def pass
      2.times { add }
      load = clients(12, STEADY, pause: 0.15)
      during("load", 25)
      rush
      hang
      crash
      restart_workers
      roll
      during("the end of the rollout", 15)
    ensure
      count(load)
    end

    def end
      @sockets.each(&:close)
      @pods.each(&:remove)
    end

    private

    def during(what, seconds)
      @say.call("#{what}: #{seconds} s")
      sleep(seconds)
    end

    def add(**)
      @number = (@number || 0) + 1
      @pods << Pod.new("shop-#{(96 + @number).chr}", "#{@net}.#{@number}", **)
      @routed += [@pods.last]
      @scrape.call(@pods)
    end

    def clients(count, paths, pause:) = Clients.new(count, routes: -> { @routed }, paths:, pause:)

    def count(clients) = clients&.stop&.each { |status, times| @statuses[status] += times }

    # More than the pods can do: requests wait, and some are turned away; others come from clients that do not wait for the answer.
    def rush
      clients = clients(70, { "/wait" => 1, "/compute" => 2 }, pause: 0.02)
      20.times do
        during("a rush, with clients that leave", 1)
        8.times { ask("/wait").close }
      end
    ensure
      count(clients)
    end

    # Requests that the app does not come back from, what is no HTTP, and a client that takes nothing of a large response.
    def hang
      ask("/deaf")
      2.times { ask("/hang") }
      8.times { ask("/large", window: SMALL_WINDOW) }
      crowd(@pods.first)
      3.times { connect.write("what is this?\r\n\r\n") }
      during("requests that hang, and slow clients", 15)
    end

    # More connections than the workers of a pod may have: the longest silent ones give way.
    def crowd(pod) = 150.times { connect(pod) }

    def crash
      @pods[0].kill_a_worker
      during("a worker was killed", 10)
      @pods[1].kill
      @pods[1].start
      during("a container was started anew", 10)
    end

    # A phased restart, with responses that do not end in time.
    def restart_workers
      4.times { ask("/stream", pod: @pods[1]) }
      @pods[1].signal(:USR1)
      during("the workers of a pod are replaced one by one", 15)
    end

    # The new pod is late with its threads, the routes with the old pod's end, and some requests are longer than the grace.
    def roll
      add(slow: 14)
      during("a new pod, whose threads start slowly", 16)
      old = @pods.first
      4.times { ask("/stream", pod: old) }
      4.times { ask("/large", pod: old, window: SMALL_WINDOW) }
      old.signal(:TERM)
      during("the old pod drains, and new connections come all the time", 9)
      @routed -= [old]
      during("the old pod ends, and some requests with it", 1) until old.ended?
      @pods -= [old]
      old.remove
      @scrape.call(@pods)
    end

    # A request of a client of its own; what becomes of it does not matter.
    def ask(path, pod: @routed.sample, window: nil)
      connect(pod, window).tap { |socket| socket.write("GET #{path} HTTP/1.1\r\nHost: shop\r\n\r\n") }
    end

    def connect(pod = @routed.sample, window = nil)
      socket = Socket.new(:INET, :STREAM)
      socket.setsockopt(:SOCKET, :RCVBUF, window) if window
      socket.connect(Socket.sockaddr_in(pod.port, pod.host))
      @sockets << socket
      socket
    end
  end
end
