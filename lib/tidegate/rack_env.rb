# frozen_string_literal: true

# The entries of the Rack env that are the same for every request, and the one place that knows which version of
# Rack is loaded.

require "rack/version"

module Tidegate
  module RackEnv
    SOFTWARE = "tidegate/#{Tidegate::VERSION}".freeze

    # What servers have answered since Rack 3 stopped counting the versions of its SPEC.
    LAST_SPEC = [1, 6].freeze

    module_function

    # A frozen Hash that the native side copies into each env. The entries that Rack 3 dropped from its SPEC stay:
    # Rack 2 requires them, and middleware still asks for them.
    def template(errors: $stderr)
      {
        "SERVER_SOFTWARE" => SOFTWARE,
        "GATEWAY_INTERFACE" => "CGI/1.2",
        "rack.version" => spec_version,
        "rack.errors" => errors,
        "rack.multithread" => true,
        "rack.multiprocess" => false,
        "rack.run_once" => false
      }.freeze
    end

    # Rack 2 knows the version of its SPEC; Rack 3 has only that of its release.
    def spec_version(release = Rack.release)
      release.to_i < 3 ? Rack::VERSION.dup.freeze : LAST_SPEC
    end
  end
end
