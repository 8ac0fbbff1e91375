# frozen_string_literal: true

# The commands of `tidegate ctl`: Puma's names, and those of ours. Each has a path of the admin listener, a signal, or both.

module Tidegate
  module Control
    module Commands
      # +verb+ and +path+ are of the admin listener, +signal+ is for where there is none. +text+ ends "tidegate ctl NAME ...".
      Command = Data.define(:name, :others, :verb, :path, :signal, :text) do
        def initialize(name:, text:, others: [], verb: nil, path: verb && "/#{name}", signal: nil) = super

        def names = [name, *others]
      end

      ALL = [
        Command.new(name: "stop", verb: "POST", signal: "TERM", text: "drains the server, which then ends; does not wait for that"),
        Command.new(name: "halt", verb: "POST", signal: "INT", text: "ends the server at once, and cuts requests in flight"),
        Command.new(name: "drain", verb: "POST", signal: "TERM", text: "drains the server, and waits until it serves nothing new any more"),
        Command.new(name: "restart", verb: "POST", signal: "USR2", text: "starts the server anew on the same sockets"),
        Command.new(name: "phased-restart", verb: "POST", signal: "USR1", text: "replaces the workers one after another"),
        Command.new(name: "refork", verb: "POST", signal: "URG", text: "forks the workers anew from a warm one"),
        Command.new(name: "worker-count-up", others: %w[add-worker], verb: "POST", signal: "TTIN", text: "starts one worker more"),
        Command.new(name: "worker-count-down", others: %w[remove-worker], verb: "POST", signal: "TTOU", text: "ends one worker"),
        Command.new(name: "reopen-log", others: %w[reload-logs], verb: "POST", signal: "HUP", text: "opens the log files anew"),
        Command.new(name: "status", verb: "GET", signal: "EXIT", text: "tells whether the server runs, and its phase"),
        Command.new(name: "stats", verb: "GET", text: "prints the server's numbers as JSON"),
        Command.new(name: "gc", verb: "POST", text: "runs Ruby's garbage collector"),
        Command.new(name: "gc-stats", verb: "GET", text: "prints the garbage collector's numbers as JSON"),
        Command.new(name: "thread-backtraces", verb: "GET", text: "prints what each Ruby thread is doing"),
        Command.new(name: "info", signal: "PWR", text: "has the server print what each Ruby thread is doing to its own log"),
        Command.new(name: "start", text: "starts a server; further words are for `tidegate`")
      ].freeze

      module_function

      # The Command of that name. Raises a Failure where there is none.
      def find(name)
        ALL.find { |command| command.names.include?(name) } or
          raise Failure.new("unknown command #{name}: #{hint(name)}", status: Failure::USAGE)
      end

      def hint(name)
        nearest = Nearest.to(name, ALL.flat_map(&:names))
        nearest ? "did you mean #{nearest}?" : "there are #{ALL.map(&:name).join(", ")}"
      end

      private_class_method :hint
    end
  end
end
