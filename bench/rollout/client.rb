# frozen_string_literal: true

require_relative "clients/echo"
require_relative "clients/events"
require_relative "clients/get"
require_relative "clients/post"
require_relative "clients/streams"

# Every kind of client there is: its short name for the command line, its name in the table, how many, how often.
module Rollout
  class Client
    # What the clients of one kind do. They ask for their `share` of the rate, or each of them `every` so many seconds;
    # `count` is how many there are.
    Kind = Struct.new(:slug, :name, :type, :share, :every, :count, :options, keyword_init: true) do
      # Clients that ask `rate` times a second, spread evenly. Without a rate each asks at its kind's own pace.
      def clients(host:, port:, rate: nil, &report)
        interval = every || count / rate
        Array.new(count) do |number|
          type.new(name, number:, host:, port:, interval:, offset: interval * number / count, **options, &report)
        end
      end
    end

    LONG = 10.0 # seconds that a request may take which is meant to be slow

    # The requests that are over in a moment share the rate. Each of the others holds a thread of the server or has its
    # own rhythm: they are few, and come on top of the rate.
    KINDS = [
      [:"new-get", "new-connection GET", Clients::Get, { share: 22, count: 12 }, { path: "/" }],
      [:"new-post", "new-connection POST", Clients::Post, { share: 22, count: 12 }, { path: "/digest" }],
      [:"keep-get", "keep-alive GET", Clients::Get, { share: 22, count: 12 }, { path: "/", keep_alive: true }],
      [:"keep-post", "keep-alive POST", Clients::Post, { share: 22, count: 12 }, { path: "/digest", keep_alive: true }],
      [:chunked, "chunked upload", Clients::ChunkedPost, { share: 6, count: 4 }, { path: "/digest", keep_alive: true }],
      [:continue, "Expect: 100-continue", Clients::ContinuePost, { share: 6, count: 4 }, { path: "/digest", keep_alive: true }],
      [:"idle-post", "POST after 3 s idle", Clients::Post, { every: 3.0, count: 12 }, { path: "/digest", keep_alive: true }],
      [:"slow-get", "slow response (1.5 s)", Clients::Get, { every: 5.0, count: 2 }, { path: "/slow", within: LONG }],
      [:"slow-post", "slow upload (1.5 s)", Clients::SlowPost, { every: 2.5, count: 4 }, { path: "/digest", within: LONG }],
      [:reader, "slow reader (2 MB)", Clients::Reader, { every: 5.0, count: 2 }, { path: "/large", within: LONG }],
      [:stream, "streamed response", Clients::Get, { every: 4.0, count: 2 }, { path: "/stream", within: LONG }],
      [:sse, "server-sent events", Clients::Events, { every: 1.0, count: 2 }, { path: "/events" }],
      [:websocket, "WebSocket echo", Clients::Echo, { every: 0.2, count: 4 }, { path: "/echo" }]
    ].map { |slug, name, type, pace, options| Kind.new(slug: slug.to_s, name:, type:, options:, **pace).freeze }.freeze

    # Those that speak HTTP/2, which has to be asked for: not every server does, and no proxy here.
    HTTP2_KINDS = [
      Kind.new(slug: "streams", name: "HTTP/2, 4 streams at once", type: Clients::Streams, options: {}, share: 22, count: 12).freeze
    ].freeze

    # The names of all.
    def self.slugs = [*KINDS, *HTTP2_KINDS].map(&:slug)

    # The kinds with these names, in the table's order; for none all that speak HTTP/1. Raises ArgumentError for one that is not.
    def self.kinds(slugs = nil)
      return KINDS if slugs.nil? || slugs.empty?

      unknown = slugs - self.slugs
      raise ArgumentError, "no kind of client: #{unknown.join(', ')} (#{self.slugs.join(', ')})" unless unknown.empty?

      [*KINDS, *HTTP2_KINDS].select { |kind| slugs.include?(kind.slug) }
    end

    # All clients of these kinds, which together make `rate` requests a second and what the slow ones make.
    def self.crowd(kinds, rate:, **address, &report)
      shares = kinds.sum { |kind| kind.share || 0 }
      kinds.flat_map { |kind| kind.clients(rate: kind.share && rate * kind.share / shares, **address, &report) }
    end
  end
end
