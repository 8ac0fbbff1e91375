# frozen_string_literal: true

require "json"
require "open3"

module Rollout
  module Kubernetes
    # What the cluster, or kubectl, would not do, in its words.
    class Refused < StandardError; end

    # kubectl on one context and namespace. With +dry+, which takes lines, nothing is run: each command is a line there.
    class Kubectl
      def initialize(context:, namespace:, dry: nil, program: ENV.fetch("KUBECTL", "kubectl"))
        @command = [program, "--context", context, "--namespace", namespace]
        @dry = dry
      end

      def dry? = !@dry.nil?

      # Its output. +stdin+ is what it reads.
      def run(*arguments, stdin: nil)
        return tell(arguments, stdin) if dry?

        output, errors, status = Open3.capture3(*@command, *arguments, stdin_data: stdin.to_s)
        raise Refused, "kubectl #{arguments.join(" ")}: #{errors.strip}" unless status.success?

        output
      rescue Errno::ENOENT
        raise Refused, "kubectl is not in PATH"
      end

      # An object, or a list of them.
      def get(*arguments) = dry? ? tell(["get", *arguments, "-o", "json"], nil) : JSON.parse(run("get", *arguments, "-o", "json"))

      # Yields the lines of a command that goes on until what it shows is over.
      def follow(*arguments, &)
        return tell(arguments, nil) if dry?

        IO.popen([*@command, *arguments], err: File::NULL) { |output| output.each_line(&) }
      end

      private

      def tell(arguments, stdin)
        @dry.call([*@command, *arguments].join(" ") + (stdin ? " <<END\n#{stdin}\nEND" : ""))
        ""
      end
    end
  end
end
