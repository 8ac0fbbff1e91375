# frozen_string_literal: true

require "tmpdir"
require "fileutils"
require_relative "../support/child"
require_relative "programs"

# A data plane: nginx, told of a change by a new configuration and HUP, as an ingress controller's is.
#
# It keeps no client's connection (`keepalive_timeout 0`): the old workers of a reload close kept connections whenever
# they like, and what is lost by that is nginx's and not the pods'. A reload itself loses nothing then: the listener is
# one that old and new workers share, and an old worker finishes what it has accepted.
module Rollout
  class Nginx
    attr_reader :address

    # `next_upstream`: whether another pod is asked when one fails, as nginx does by default.
    def initialize(place:, next_upstream: true, certificate: nil)
      program = Programs.find("nginx")
      @next_upstream, @certificate = next_upstream, certificate
      @dir = Dir.mktmpdir("rollout")
      File.chmod(0o755, @dir) # a worker that gave up root looks into it
      @address = [place.client_host, place.port(place.client_host, 8000)]
      @pods = []
      @reloads = 0
      @counters = Hash.new(0)
      write
      @child = Rig::Child.new([*place.inside(:clients), program, "-p", @dir, "-e", "stderr", "-c", config],
                              name: "nginx", keep: 100) { |line| count(line) }
      await("it did not start") { @child.wait_for_line(/: start worker process \d/, within: 10) }
    rescue StandardError
      stop
      raise
    end

    def route(pod) = change { @pods |= [pod] }

    def unroute(pod) = change { @pods -= [pod] }

    def forget(pod) = @pods.include?(pod) && unroute(pod)

    # What nginx said in its log: pods it could not reach, answers it did not get, and how often it was reloaded.
    def counters
      { connect_errors: @counters[:connect], response_errors: @counters[:response], no_pod: @counters[:none], reloads: @reloads }
    end

    def stop
      @child&.stop(within: 3)
      FileUtils.rm_rf(@dir)
    end

    private

    def config = File.join(@dir, "nginx.conf")

    # Returns when the old workers have been told to accept no more.
    def change
      yield
      write
      @reloads += 1
      seen = @counters[:shutting_down]
      @child.signal(:HUP)
      await("it was not reloaded") { patiently { @counters[:shutting_down] > seen } }
    end

    def patiently(within: 10)
      limit = Rig.now + within
      sleep(0.005) until (done = yield) || Rig.now > limit || !@child.alive?
      done
    end

    def await(complaint)
      yield or raise Rig::Unavailable, "nginx: #{complaint} (#{@child.outcome}): #{@child.output.last(3).join(' | ')}"
    end

    def count(line)
      case line
      when /gracefully shutting down/ then @counters[:shutting_down] += 1
      when /connect\(\) failed|while connecting to upstream/ then @counters[:connect] += 1
      when /while reading (response|upstream)|prematurely closed/ then @counters[:response] += 1
      when /no live upstreams/ then @counters[:none] += 1
      end
    end

    def write
      File.write(config, <<~CONFIG)
        daemon off;
        pid #{@dir}/nginx.pid;
        error_log stderr notice;
        worker_processes 1;
        events { worker_connections 2048; }
        http {
          access_log off;
          client_body_temp_path #{@dir}/body;
          proxy_temp_path #{@dir}/proxy;
          fastcgi_temp_path #{@dir}/fastcgi;
          uwsgi_temp_path #{@dir}/uwsgi;
          scgi_temp_path #{@dir}/scgi;
          client_max_body_size 64m;
          keepalive_timeout 0;
          map $http_upgrade $connection_upgrade { default upgrade; '' close; }
          #{upstream}
          server {
            listen #{@address.join(':')} backlog=1024#{' ssl' if @certificate};
            #{"ssl_certificate #{@certificate.cert}; ssl_certificate_key #{@certificate.key};" if @certificate}
            location / { #{location} }
          }
        }
      CONFIG
    end

    def upstream
      return "" if @pods.empty?

      "upstream pods { #{@pods.map { |pod| "server #{pod.host}:#{pod.port};" }.join(' ')} }"
    end

    def location
      return "return 503;" if @pods.empty?

      ["proxy_pass http#{'s' if @certificate}://pods;", "proxy_http_version 1.1;", "proxy_buffering off;",
       "proxy_set_header Upgrade $http_upgrade;", "proxy_set_header Connection $connection_upgrade;",
       ("proxy_next_upstream off;" unless @next_upstream)].compact.join(" ")
    end
  end
end
