# frozen_string_literal: true

# The scenarios of the specification by their numbers: bundles of settings, what each is about, and its negative control,
# which is the same with one thing made wrong on purpose.
module Rollout
  module Presets
    # `control` are settings of Tidegate that change the outcome, with the words for them; `loses` is whether the preset
    # itself has to lose requests, as a time that is set too short does; `control_loses` the same of the control, nil
    # where that is left to chance. `expected` are Tidegate's outcomes that are right, if not "exit 0" alone.
    Preset = Struct.new(:name, :about, :settings, :expected, :control, :control_about, :loses, :control_loses, keyword_init: true)

    NEW = %w[new-get new-post].freeze
    # All clients with requests that come to an end by themselves.
    ANSWERED = %w[new-get new-post keep-get keep-post chunked continue idle-post slow-get slow-post reader stream].freeze
    KEPT = %w[keep-get keep-post idle-post].freeze
    NO_DELAY = { control: { drain_delay: 0.0 }, control_about: "drain delay 0", loses: false, control_loses: true }.freeze

    ALL = [
      Preset.new(name: "S1", about: "kube-proxy, new connections",
                 settings: { data_plane: "kube-proxy", pods: 3, clients: NEW }, **NO_DELAY),
      Preset.new(name: "S2", about: "kube-proxy, kept connections, round trip 2 ms",
                 settings: { data_plane: "kube-proxy", pods: 3, clients: KEPT, rtt: 0.002, rate: 520.0 }, **NO_DELAY),
      Preset.new(name: "S3", about: "HAProxy with retries",
                 settings: { data_plane: "haproxy-retries", pods: 3, clients: ANSWERED }, **NO_DELAY, control_loses: nil),
      Preset.new(name: "S4", about: "HAProxy, retries 0", settings: { data_plane: "haproxy", pods: 3, clients: ANSWERED },
                 **NO_DELAY),
      Preset.new(name: "S4b", about: "HAProxy by its own probe, as an ALB",
                 settings: { data_plane: "haproxy-probe", pods: 3, clients: ANSWERED, drain_delay: 4.0 }, **NO_DELAY),
      Preset.new(name: "S5", about: "nginx, next_upstream off", # it picks a pod when it has the whole body: 1.5 s more lag
                 settings: { data_plane: "nginx-no-retry", pods: 3, clients: ANSWERED, drain_delay: 5.0 }, **NO_DELAY),
      Preset.new(name: "S8", about: "a lag of 5 s, longer than the delay",
                 settings: { data_plane: "kube-proxy", pods: 3, clients: NEW, lag: 5.0 },
                 control: { drain_delay: 7.0 }, control_about: "drain delay 7", loses: true, control_loses: false),
      Preset.new(name: "S9", about: "one replica, evicted",
                 settings: { data_plane: "kube-proxy", scenario: "evict", clients: ANSWERED, boot: 3.0, drain_delay: 9.0,
                             failure_threshold: 1 },
                 control: { readiness: "/readyz" }, control_about: "readiness on /readyz", loses: false, control_loses: true),
      Preset.new(name: "S10", about: "responses of 8 s, grace of 6 s",
                 settings: { data_plane: "haproxy", clients: %w[new-get slow-get], slow: 8.0, lag: 0.5, drain_delay: 1.0,
                             grace: 6.0 },
                 expected: ["exit 0", "exit 1"],
                 control: { grace: 14.0 }, control_about: "grace 14", loses: true, control_loses: false),
      Preset.new(name: "S13", about: "WebSockets and event streams",
                 settings: { data_plane: "kube-proxy", pods: 3, clients: %w[sse websocket] }, **NO_DELAY),
      Preset.new(name: "S14", about: "HTTP/2, GOAWAY and streams that race it, round trip 2 ms", # each asks for four at a time
                 settings: { data_plane: "kube-proxy", pods: 3, clients: %w[streams], rtt: 0.002, rate: 65.0 }, **NO_DELAY)
    ].freeze

    def self.names = ALL.map(&:name)

    def self.find(name)
      ALL.find { |preset| preset.name == name } or raise Rig::Unavailable, "unknown preset #{name.inspect}: #{names.join(', ')}"
    end
  end
end
