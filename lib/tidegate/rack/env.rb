# frozen_string_literal: true

# The entries of the Rack env that are the same for every request. No other file asks which version of Rack is loaded.

require "rack/version"

module Tidegate
  # The entries of the Rack env that are the same for every request.
  module RackEnv
    # SERVER_SOFTWARE.
    SOFTWARE = "tidegate/#{Tidegate::VERSION}".freeze

    # What servers put into rack.version since Rack 3 has no version of its SPEC any more.
    LAST_SPEC = [1, 6].freeze

    # How many milliseconds the request of the calling thread has waited for the GVL so far.
    GVL_WAIT = -> { Native.gvl_wait }.freeze

    # Says that the request of the calling thread will mostly wait from now on, so that no other request waits for it.
    IO_BOUND = -> { Native.io_bound }.freeze

    module_function

    # A frozen Hash that the native side copies into each env. It keeps the entries that Rack 3 has dropped from its SPEC,
    # because Rack 2 requires them and middleware still reads them. It has a rack.input, which the body of a request replaces:
    # since Rack 3.1 it may be missing, but apps read it without asking.
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

    # Whether rack.input has to be rewindable, as before Rack 3.
    def rewindable?(release: Rack.release) = older?(release, 3, 0)

    # Rack 2 has a version of its SPEC, Rack 3 only that of its release.
    def spec_version(release)
      older?(release, 3, 0) ? Rack::VERSION.dup.freeze : LAST_SPEC
    end

    def older?(release, *version) = (release.split(".").map(&:to_i) <=> version).negative?

    private_class_method :spec_version, :older?
  end
end
