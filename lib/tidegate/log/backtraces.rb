# frozen_string_literal: true

# Where the threads of this process are: each with its name, its status, the request that it serves and its backtrace. For
# `tidegate ctl thread-backtraces`, for SIGPWR, and for shutdown_debug.

module Tidegate
  class Backtraces
    # A thread. +request+ is nil, or a Hash with method, path and seconds (for how long the app has had it).
    Entry = Struct.new(:name, :status, :request, :backtrace) do
      # A line with name and status, and below it a line for each level, indented.
      def lines = ["#{title}\n", *backtrace.map { |level| "  #{Printable.line(level)}\n" }]

      # As Puma's control server has it, with what else is known.
      def to_h = { name:, status:, request:, backtrace: }.compact

      private

      def title
        served = request && format(" serves %s %s since %.1f s", request[:method], request[:path], request[:seconds])
        "thread #{Printable.line(name)} (#{status})#{Printable.line(served.to_s)}"
      end
    end

    # +servers+ are those whose requests are told.
    def initialize(servers = Running.servers)
      @servers = servers
    end

    # An Entry for each thread, those that serve a request first.
    def entries
      requests = @servers.flat_map(&:serving).to_h { |thread, request| [thread, request] }
      threads = requests.keys | Thread.list
      threads.filter_map { |thread| entry(thread, requests[thread]) }
    end

    # All of them as lines of text.
    def to_s = entries.flat_map(&:lines).join

    # Prints all of them to +log+; +reason+ says why, in a sentence.
    def print(log, reason)
      all = entries
      log.backtraces("#{reason}: the backtraces of #{all.size} threads", all)
    end

    private

    # nil for a thread that has ended meanwhile.
    def entry(thread, request)
      backtrace = thread.backtrace or return

      Entry.new(name(thread), thread.status || "dead", request, backtrace.map { |level| Printable.unicode(level) })
    end

    def name(thread)
      return "main" if thread == Thread.main

      Printable.unicode(thread.name || thread.inspect)
    end
  end
end
