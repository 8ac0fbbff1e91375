# frozen_string_literal: true

# The entries of the Rack env that are the same for every request, and the one place that knows which version of
# Rack is loaded.

require "rack/version"

module Tidegate
  module RackEnv
    SOFTWARE = "tidegate/#{Tidegate::VERSION}".freeze

    # What servers have answered since Rack 3 stopped counting the versions of its SPEC.
    LAST_SPEC = [1, 6].freeze

    # Of the request that the calling thread runs: milliseconds of waiting for the GVL so far.
    GVL_WAIT = -> { Native.gvl_wait }.freeze

    # Tells that the request that the calling thread runs will mostly wait from now on, so that no other waits for it.
    IO_BOUND = -> { Native.io_bound }.freeze

    module_function

    # A frozen Hash that the native side copies into each env. What Rack 3 has dropped from its SPEC stays: Rack 2
    # requires it, and middleware still asks for it. So does rack.input for a request without a body, which Rack allows
    # to be missing since 3.1: apps read it without asking. A body takes its place.
    def template(errors: $stderr, release: Rack.release)
      {
        "SERVER_SOFTWARE" => SOFTWARE,
        "GATEWAY_INTERFACE" => "CGI/1.2",
        "rack.version" => spec_version(release),
        "rack.errors" => errors,
        "rack.input" => EmptyInput.new.freeze,
        "rack.multithread" => true,
        "rack.multiprocess" => false,
        "rack.run_once" => false,
        "rack.hijack?" => true,
        "tidegate.gvl_wait" => GVL_WAIT,
        "tidegate.io_bound" => IO_BOUND,
        "puma.mark_as_io_bound" => IO_BOUND
      }.freeze
    end

    # Whether rack.input has to be rewindable; Rack 3 has dropped that.
    def rewindable?(release: Rack.release) = older?(release, 3, 0)

    # Rack 2 knows the version of its SPEC; Rack 3 has only that of its release.
    def spec_version(release)
      older?(release, 3, 0) ? Rack::VERSION.dup.freeze : LAST_SPEC
    end

    def older?(release, *version) = (release.split(".").map(&:to_i) <=> version).negative?

    private_class_method :spec_version, :older?
  end
end
