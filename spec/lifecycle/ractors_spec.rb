# frozen_string_literal: true

require "json"

# Ractors in the app's process. There is a GVL for each Ractor, and Tidegate's is the one of the app's.
RSpec.describe "an app with Ractors", :processes do
  def skip_before_3_3
    skip "Ruby #{RUBY_VERSION} can't be asked" if Gem::Version.new(RUBY_VERSION) < Gem::Version.new("3.3")
  end

  # On Ruby 3.4 and 4.0, beside a Ractor that wakes often, a thread of the app's that computes keeps the GVL for ever: without a server too.
  def skip_where_threads_starve
    program = <<~RUBY
      Warning[:experimental] = false
      Ractor.new { loop { sleep 0.0002 } }
      queue = Queue.new
      Thread.new { sleep(0.2) && queue << 1 }
      Thread.new { nil while queue.empty? }.join
      exit!(0)
    RUBY
    skip "this Ruby's threads starve beside a Ractor" unless system("timeout", "-s", "KILL", "10", RbConfig.ruby, "-e", program)
  end

  def preemptions(server)
    stats = Wire.open(server.admin) { |wire| wire.get("/stats") }
    JSON.parse(stats.body).dig("tidegate", "preemptions")
  end

  # A request that computes until another one, which is let in beside it, has ended.
  def long_beside_short(server)
    long = server.connect.tap { |wire| wire.request("GET", "/long") }
    server.wait_for_line(/^long is in/)
    short = server.get("/short")
    [long.response.status, short.status]
  end

  # A thread of another Ractor that waits for that one's GVL was taken for one that waits for the app's: the request that
  # computed alone was asked to let go every 5 ms, a hundred times in half a second.
  it "asks no request to let go for the sake of another Ractor's threads" do
    skip_before_3_3
    server = start("-o", "127.0.0.1", "-p", 0, "-C", "-", "--admin", "tcp://127.0.0.1:0", fixture("ractors.ru")).ready
    server.get("/ractor")
    2.times { |number| server.wait_for_line(/^thread #{number} of the Ractor runs/) }
    before = preemptions(server)

    expect(server.get("/compute").status).to eq(200)
    expect(preemptions(server) - before).to be < 20
    skip_where_threads_starve
    expect(long_beside_short(server)).to eq([200, 200])
    expect(server.output).not_to include("a Ractor was there")
  end

  # `rackup` reads config.ru before it loads its server: Ruby gives out no key for threads then, and the boot ended with
  # "The first rb_internal_thread_specific_key_create() is called with multiple ractors".
  it "is served without knowing which request waits, and the operator is told, where a Ractor was there first" do
    skip_before_3_3
    server = track(ServerProcess.rackup("-o", "127.0.0.1", "-p", 0, fixture("ractors.ru"))).ready
    sleeping = Array.new(6) { server.connect.tap { |wire| wire.request("GET", "/sleep") } }

    expect(sleeping.map { |wire| wire.response.status }).to all(eq(200))
    expect(server.output.scan(/^tidegate: .*Ractor.*/)).to contain_exactly(/a Ractor was there before Tidegate was loaded/)
    skip_where_threads_starve
    expect(long_beside_short(server)).to eq([200, 200])
    server.signal(:TERM)
    expect(server.exit_status).to eq(0)
  end
end
