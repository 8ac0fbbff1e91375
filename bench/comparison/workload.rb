# frozen_string_literal: true

require "net/http"
require "openssl"
require "yaml"
require_relative "../support/servers"

# A workload: an app, and the clients that ask it. bench/workloads/NAME.yml says both.
#
#   app       the config.ru, beside that file or from there
#   clients   by name, what bench/load knows of a group: connections, method, path, headers, body_bytes, keep_alive,
#             tls, resume, rate (per second, by the clock), pause and mix (by name, requests that differ in path, and how often each
#             comes, its share; they are measured apart); one named "all" that asks GET / unless it says otherwise
#   tls       the kind of key, ecdsa or rsa, of the certificate that servers get: the clients encrypt then; with resume they go on
#             with the session of an earlier connection
#   idle      connections that ask once and keep still, beside those
#   without   names of clients that come later: the others are measured without them first
#   sleeps    by path, the milliseconds that the app waits: the limits wait as long
#   seconds   how long a turn is at least
#   settle    seconds after the load when the server's memory is looked at once more
#   threads   what Tidegate has for -t there, where its name says nothing
#   counts    the thread counts that are tried, in the place of the usual ones
#   best_by   what the thread count of the servers that are searched is chosen by
module Comparison
  class Workload
    DIR = File.expand_path("../workloads", __dir__)
    KEYS = %w[app clients idle best_by tls without sleeps seconds settle threads counts].freeze
    BEST_BY = %w[all.rate all.p99].freeze

    def self.names = Dir["#{DIR}/*.yml"].map { |file| File.basename(file, ".yml") }.sort

    def self.find(name, connections: nil)
      file = "#{DIR}/#{name}.yml"
      raise Rig::Unavailable, "no workload #{name.inspect}: #{names.join(', ')}" unless names.include?(name)

      new(name, YAML.safe_load_file(file), connections:)
    end

    attr_reader :name, :app, :clients, :idle, :best_by, :sleeps, :settle, :threads, :counts

    # `connections` are for the clients that do not say how many they have.
    def initialize(name, description, connections: nil)
      unknown = description.keys - KEYS
      raise Rig::Unavailable, "#{name}: unknown key #{unknown.first}" unless unknown.empty?

      @name = name
      @app = File.expand_path(description.fetch("app"), DIR)
      @clients = (description["clients"] || { "all" => {} }).map do |client, settings|
        mix = settings["mix"]&.map { |kind, more| { "name" => kind, **more } }
        { "name" => client, "connections" => connections || 32, **settings, "mix" => mix, "tls" => (true if description["tls"]) }.compact
      end
      @idle = description["idle"]
      @best_by = description["best_by"] || BEST_BY
      @tls, @without, @seconds = description.values_at("tls", "without", "seconds")
      @settle, @threads, @counts = description.values_at("settle", "threads", "counts")
      @sleeps = description["sleeps"] || {}
    end

    # The first line of its file, for people.
    def summary
      File.foreach("#{DIR}/#{@name}.yml").take_while { |line| line.start_with?("#") }.map { |line| line.delete_prefix("# ").chomp }.join(" ")
    end

    # What kind of certificate the server gets (:ecdsa, :rsa), where the clients encrypt.
    def tls = @tls&.to_sym

    # Clients in words: "32 connections", or each kind by its name.
    def load
      @clients.map do |client|
        kind = "#{client['name']}: " if @clients.size > 1
        pace = client["rate"] ? ", #{client['rate']}/s by the clock" : ""
        "#{kind}#{client['connections']} #{client['keep_alive'] == false ? 'clients with a new connection each time' : 'connections'}#{pace}"
      end.join("; ")
    end

    # The clients that are there from the start; all of them, unless some come later.
    def first_clients = @clients.reject { |client| Array(@without).include?(client["name"]) }

    # Whether there are clients that come later.
    def without? = first_clients.size < @clients.size

    # How long a turn is where it would be so long elsewhere.
    def seconds(usual) = [usual, @seconds.to_i].max

    # One request of each kind, with all that it says.
    def requests
      @clients.flat_map do |client|
        (client["mix"] || [client]).map do |kind|
          { "method" => "GET", "path" => "/", **client.slice("method", "path", "headers", "body_bytes"), **kind.slice("name", "path") }
        end
      end
    end

    # The names of all kinds of request that are measured by themselves.
    def kinds = @clients.flat_map { |client| client["mix"] || [client] }.map { |kind| kind["name"] }

    # What Rails puts into a form, new each time.
    TOKEN = /[\w-]{86}/

    # What the app answers to each kind of client: the same from every server, or they are not doing the same work.
    def answers(server) = requests.map { |request| answer(server, request) }

    private

    def answer(server, client)
      request = Net::HTTPGenericRequest.new(client["method"], client.key?("body_bytes"), true, client["path"],
                                            client.fetch("headers", {}).transform_keys(&:to_s))
      request.body = "x" * client["body_bytes"] if client["body_bytes"]
      http = Net::HTTP.new(server.host, server.port, nil)
      http.use_ssl = !tls.nil?
      http.verify_mode = OpenSSL::SSL::VERIFY_NONE
      response = http.request(request)
      [response.code, response.body.gsub(TOKEN, "token")]
    end
  end
end
