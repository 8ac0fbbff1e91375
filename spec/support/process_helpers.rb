# frozen_string_literal: true

# For specs that start servers as processes: starts them, ends them after the example, and shows what they printed
# when the example has failed.

module ProcessHelpers
  # What makes servers the same wherever the specs run: in a container, the platform's time limit would cut delays.
  USUAL = ["-p", 0, "-o", "127.0.0.1", "-C", "-", "--termination-grace", 3600].freeze

  # The same on an encrypted port, where +tls+ says so, or SPEC_TLS for all.
  def self.usual(tls: nil)
    return USUAL unless tls.nil? ? ENV.key?("SPEC_TLS") : tls

    ["-b", Certificates.bind, *USUAL.drop(4)]
  end

  # Starts `tidegate` with a rackup file of spec/fixtures and waits until it serves on a free port.
  def serve(fixture, *arguments, **)
    boot(fixture, *arguments, **).ready
  end

  # The same without the waiting.
  def boot(fixture, *arguments, env: {}, tls: nil, **)
    start(*ProcessHelpers.usual(tls:), *arguments, fixture(fixture), env: rendezvous.env.merge(env), **)
  end

  # The same as a process with a controlling terminal of its own, or, as a service, without any.
  def boot_with_terminal(fixture, *arguments, terminal: true, **)
    require "pty"
    _, slave = @terminal = PTY.open
    command = ["setsid", *("-c" if terminal), *ServerProcess::RUBY, "#{ServerProcess::ROOT}/exe/tidegate", *ProcessHelpers.usual, *arguments, fixture(fixture)]
    track(ServerProcess.new(command.map(&:to_s), pgroup: nil, in: terminal ? slave : File::NULL, **))
  end

  # Starts `tidegate` with just these arguments, and waits for nothing.
  def start(*arguments, **) = track(ServerProcess.tidegate(*arguments, **))

  def track(process)
    processes << process
    process
  end

  def fixture(name) = File.join(ServerProcess::FIXTURES, name)

  def rendezvous = @rendezvous ||= Rendezvous.new

  # Waits until the app of a process has come to a place.
  def meet(place) = rendezvous.meet(place)

  def processes = @processes ||= []
end

RSpec.configure do |config|
  config.include ProcessHelpers, :processes

  config.after(:each, :processes) do |example|
    @rendezvous&.close
    processes.each(&:end)
    if example.exception
      processes.each { |process| RSpec.configuration.reporter.message("output of #{process.pid}:\n#{process.output}") }
    end
  end
end
