# frozen_string_literal: true

# Looking at a server and steering it from outside: `tidegate ctl` and `tidegate top`, which ask its admin listener, and the thread
# of the server that answers what needs Ruby.

module Tidegate
  module Control
    autoload :Answerer, "tidegate/control/answerer"
    autoload :CLI, "tidegate/control/cli"
    autoload :Client, "tidegate/control/client"
    autoload :Commands, "tidegate/control/commands"
    autoload :Failure, "tidegate/control/failure"
    autoload :Numbers, "tidegate/control/numbers"
    autoload :Output, "tidegate/control/output"
    autoload :Screen, "tidegate/control/screen"
    autoload :Settings, "tidegate/control/settings"
    autoload :Signaller, "tidegate/control/signaller"
    autoload :Table, "tidegate/control/table"
    autoload :Target, "tidegate/control/target"
    autoload :TargetOptions, "tidegate/control/target_options"
    autoload :Top, "tidegate/control/top"
  end
end
