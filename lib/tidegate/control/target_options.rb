# frozen_string_literal: true

# The options of `tidegate ctl` and `tidegate top` that say which server is meant; see Target.

module Tidegate
  module Control
    module TargetOptions
      module_function

      # Adds them to an OptionParser; what is given goes into the Hash +given+.
      def add_to(parser, given)
        parser.on("-C", "--control-url URL", "address of the admin listener") { |url| given[:url] = url }
        parser.on("-T", "--control-token TOKEN", "its token; ps shows it, TIDEGATE_ADMIN_TOKEN is better") do |token|
          given[:token] = token unless token == "none"
        end
        parser.on("-S", "--state PATH", "state file of the server") { |path| given[:state] = path }
        parser.on("-F", "--config-file PATH", "configuration file of the server; - for none") { |path| given[:config] = path }
        parser.on("-e", "--environment NAME", "environment of the server") { |name| given[:environment] = name }
      end
    end
  end
end
