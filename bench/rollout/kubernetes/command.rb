# frozen_string_literal: true

# Rolls a Deployment of a real cluster under its clients: those are a Job in the cluster, kubectl works from here. What the Job has
# counted at the end of each roll is what is shown.

require "json"
require "optparse"
require_relative "job"
require_relative "kubectl"

module Rollout
  module Kubernetes
    class Command
      Roll = Struct.new(:seconds, :requests, :failed)

      # Seconds in which a Job's pod has to be there.
      BOOT = 180

      def initialize(argv, out: $stdout, err: $stderr)
        @out = out
        @err = err
        @options = { deployment: "tidegate", path: "/", rolls: 3, clients: 20, timeout: 300 }
        parser.parse!(argv)
        %i[context namespace].each { |name| @options[name] or raise OptionParser::MissingArgument, "--#{name == :context ? "kubernetes" : name}" }
        @kubectl = Kubectl.new(context: @options[:context], namespace: @options[:namespace], dry: (@out.method(:puts) if @options[:dry]))
      end

      # The exit status: 0 no request failed, 1 some did, 2 it could not be done.
      def call
        @job = job
        @kubectl.run("apply", "-f", "-", stdin: @job.to_json)
        rolls = asked { Array.new(@options[:rolls]) { |index| roll(index + 1) } }
        @kubectl.dry? ? 0 : report(rolls)
      rescue Refused => error
        @err.puts "rollout: #{error.message}"
        2
      end

      private

      def parser
        OptionParser.new("Usage: bin/rollout --kubernetes CONTEXT --namespace NS [options]") do |parser|
          parser.on("--kubernetes CONTEXT", "the cluster, as kubectl calls it") { |value| @options[:context] = value }
          parser.on("--namespace NS", "where the Deployment is, and the clients will be") { |value| @options[:namespace] = value }
          parser.on("--deployment NAME", "what is rolled (tidegate)") { |value| @options[:deployment] = value }
          parser.on("--service NAME", "what the clients ask (the Deployment's name)") { |value| @options[:service] = value }
          parser.on("--port PORT", Integer, "the Service's port (its first)") { |value| @options[:port] = value }
          parser.on("--path PATH", "what they ask for (/)") { |value| @options[:path] = value }
          parser.on("--rolls COUNT", Integer, "how often it is rolled (3)") { |value| @options[:rolls] = value }
          parser.on("--clients COUNT", Integer, "how many ask at a time (20)") { |value| @options[:clients] = value }
          parser.on("--image IMAGE", "with Ruby, for the clients (the Deployment's)") { |value| @options[:image] = value }
          parser.on("--timeout SECONDS", Integer, "for each roll (300)") { |value| @options[:timeout] = value }
          parser.on("--dry-run", "print the commands and objects, and run nothing") { @options[:dry] = true }
        end
      end

      def deployment = @options[:deployment]

      def job
        found = @kubectl.get("deployment", deployment)
        service = @options[:service] || deployment
        port = @kubectl.get("service", service)
        pod = @kubectl.dry? ? {} : found.dig("spec", "template", "spec")
        @selector = @kubectl.dry? ? "SELECTOR" : found.dig("spec", "selector", "matchLabels").map { |pair| pair.join("=") }.join(",")
        port = @options[:port] || (@kubectl.dry? ? "PORT" : port.dig("spec", "ports", 0, "port"))
        Job.new(url: "http://#{service}.#{@options[:namespace]}:#{port}#{@options[:path]}", clients: @options[:clients],
                image: @options[:image] || pod.dig("containers", 0, "image") || "IMAGE-OF-THE-DEPLOYMENT", pull_secrets: pod["imagePullSecrets"] || [])
      end

      # Runs the block while the clients ask, and takes them away again, whatever happens. What they count until they have ended is in @tally.
      def asked
        # Of the Job, because its pod may not be there yet.
        @kubectl.run("wait", "--for=jsonpath={.status.ready}=1", "job/#{@job.name}", "--timeout=#{BOOT}s")
        lines = Queue.new
        reader = Thread.new { read(lines) }
        # What would be done is told in its order.
        reader.join if @kubectl.dry?
        hear(lines) { |tally| tally["requests"].positive? }
        @lines = lines
        yield
      ensure
        @kubectl.run("delete", "job", @job.name, "--wait=false")
        reader&.join(120)
        hear(lines) { |tally| tally["done"] } if lines
        @kubectl.run("delete", "configmap", @job.name)
      end

      def read(lines)
        @kubectl.follow("logs", "--follow", "job/#{@job.name}") { |line| lines << line }
      ensure
        lines.close
      end

      # Takes what the clients have said; with a block until it holds, or until they say no more.
      def hear(lines)
        return if @kubectl.dry?

        while (line = lines.pop(timeout: block_given? ? BOOT : 0))
          @tally = JSON.parse(line)
          return if block_given? && yield(@tally)
        end
        raise Refused, "the clients say nothing: kubectl logs job/#{@job.name}" unless @tally
      end

      # Over when no pod of before is left: the new ones are there long before the old ones have drained.
      def roll(number)
        before = @kubectl.dry? ? ["OLD-PODS"] : @kubectl.get("pods", "-l", @selector)["items"].map { |pod| pod.dig("metadata", "name") }
        began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
        last = @tally
        @kubectl.run("rollout", "restart", "deployment/#{deployment}")
        @kubectl.run("rollout", "status", "deployment/#{deployment}", "--timeout=#{@options[:timeout]}s")
        @kubectl.run("wait", "--for=delete", *before.map { |name| "pod/#{name}" }, "--timeout=#{@options[:timeout]}s")
        return if @kubectl.dry?

        seconds = Process.clock_gettime(Process::CLOCK_MONOTONIC) - began
        hear(@lines)
        Roll.new(seconds, *%w[requests failed].map { |name| @tally[name] - last[name] }).tap do |roll|
          @err.puts format("rollout: %d of %d: %.1f s until the last old pod had gone, %d requests, %d failed", number, @options[:rolls], *roll)
        end
      end

      def report(rolls)
        times = rolls.map(&:seconds)
        @out.puts format("%<rolls>d rolls of %<name>s, %<least>.1f to %<most>.1f s each: %<requests>d requests, %<failed>d failed, the slowest took %<slowest>.1f s",
                         rolls: rolls.size, name: deployment, least: times.min, most: times.max, **@tally.transform_keys(&:to_sym).slice(:requests, :failed, :slowest))
        @tally["kinds"].sort_by { |_, count| -count }.each { |kind, count| @out.puts format("%8d  %s", count, kind) }
        @tally["failed"].zero? ? 0 : 1
      end
    end
  end
end
