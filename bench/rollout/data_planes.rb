# frozen_string_literal: true

require_relative "haproxy"
require_relative "kube_proxy"
require_relative "nginx"
require_relative "picker"

# The data planes by name. Each is one way in which requests get to pods.
module Rollout
  module DataPlanes
    NAMES = {
      "picker" => "one pod at random for each connection, no retries; needs no root",
      "haproxy" => "HAProxy with retries 0",
      "haproxy-retries" => "HAProxy with 3 retries, the last to another pod",
      "haproxy-probe" => "HAProxy with retries 0 that goes by its own probe of the pods, as an AWS ALB does",
      "nginx" => "nginx as it comes, which asks another pod when one fails",
      "nginx-no-retry" => "nginx with proxy_next_upstream off",
      "kube-proxy" => "the kernel: nftables and connection tracking, no retries; needs root"
    }.freeze

    # Those that make no sense, or that cannot be made, without a network of our own.
    APART = %w[kube-proxy].freeze

    # Those that pass a connection on as it is, whatever it speaks.
    OPAQUE = %w[kube-proxy picker].freeze

    module_function

    # With a certificate the proxies encrypt on both sides; those that pass bytes on need none.
    def build(name, place:, tidegate:, certificate: nil)
      case name
      when "picker" then Picker.new(place:)
      when "haproxy" then HAProxy.new(place:, certificate:)
      when "haproxy-retries" then HAProxy.new(place:, certificate:, retries: 3)
      when "haproxy-probe" then probing(place, tidegate, certificate)
      when "nginx" then Nginx.new(place:, certificate:)
      when "nginx-no-retry" then Nginx.new(place:, certificate:, next_upstream: false)
      when "kube-proxy" then KubeProxy.new(place:)
      else raise Rig::Unavailable, "unknown data plane #{name.inspect}: #{NAMES.keys.join(', ')}"
      end
    end

    # Tidegate has a path for load balancers; of any other server the app is asked.
    def probing(place, tidegate, certificate)
      return HAProxy.new(place:, certificate:, probe: "/readyz", &:admin_port) if tidegate

      HAProxy.new(place:, certificate:, probe: "/", &:port)
    end
  end
end
