# frozen_string_literal: true

require "etc"
require "json"
require "timeout"

RSpec.describe "what the server reports", :in_process do
  let(:here) { Queue.new }
  let(:go) { Queue.new }

  # /wait waits without the GVL, /raise raises; each tells that it is there.
  def reporting(**)
    run_server(admin: "tcp://127.0.0.1:0", **) do |env|
      here << env["PATH_INFO"]
      Patience.pop(go) if env["PATH_INFO"] == "/wait"
      raise "no" if env["PATH_INFO"] == "/raise"

      [200, { "content-type" => "text/plain" }, [env["PATH_INFO"]]]
    end
  end

  def ask(server, path, headers = {}) = Wire.open(server.admin_address) { |wire| wire.get(path, headers) }

  def metrics(server) = Exposition.new(ask(server, "/metrics").body)

  # Asks until the numbers are as the block wants them, and returns them.
  def metrics_when(server)
    Patience.until_true("the metrics to say so") { metrics(server).then { |page| page if yield page } }
  end

  def begin_waiting(server)
    connect(server).tap do |wire|
      wire.request("GET", "/wait")
      expect(Patience.pop(here)).to eq("/wait")
    end
  end

  # How often the queue has stood still beside a request that does what the block says, and then computes until another
  # request is in the app. Any wait of the block is to be for +go+.
  def stalls_beside
    entered = Queue.new
    server = run_server(admin: "tcp://127.0.0.1:0") do |env|
      if env["PATH_INFO"] == "/other"
        entered << true
      else
        here << true
        yield env
        here << true
        nil while entered.empty?
      end
      [200, { "content-type" => "text/plain" }, ["x"]]
    end
    long = connect(server)
    long.request("GET", "/long")
    Patience.pop(here)
    go << true
    Patience.pop(here)
    expect(get(server, "/other").status).to eq(200)
    expect(long.response.status).to eq(200)
    metrics(server)["tidegate_stalls_total"]
  end

  describe "at /metrics" do
    it "follows the grammar, from the first moment on" do
      server = reporting
      response = ask(server, "/metrics")
      page = Exposition.new(response.body)

      expect(response["content-type"]).to eq("text/plain; version=0.0.4; charset=utf-8")
      expect(page.types.keys).to all(start_with("tidegate_").or(start_with("process_")))
      counters = page.types.select { |_, type| type == "counter" }.keys
      expect(counters).to all(end_with("_total"))
      expect(page["tidegate_info", version: Tidegate::VERSION]).to eq(1)
      expect(page["tidegate_build_info", version: Tidegate::VERSION, ruby: RUBY_VERSION]).to eq(1)
      expect(page["tidegate_requests_total", method: "PATCH", status: "4xx"]).to eq(0)
    end

    it "is OpenMetrics for those who ask for it" do
      response = ask(reporting, "/metrics", "accept" => "application/openmetrics-text; version=1.0.0")

      expect(response["content-type"]).to eq("application/openmetrics-text; version=1.0.0; charset=utf-8")
      expect(response.body).to end_with("# EOF\n")
    end

    it "counts requests by method and kind of status, and those that could not be answered" do
      server = reporting
      2.times { get(server, "/") }
      connect(server).ask("PURGE", "/")
      get(server, "/raise")
      here.clear
      begin_waiting(server).abort
      go << true

      page = metrics_when(server) { |each| each["tidegate_requests_total", method: "GET", status: "none"] == 1 }
      series = { %w[GET 2xx] => 2, %w[other 2xx] => 1, %w[GET 5xx] => 1, %w[GET 4xx] => 0 }
      expect(series.keys.to_h { |(method, status)| [[method, status], page["tidegate_requests_total", method:, status:]] })
        .to eq(series)
      expect(page["tidegate_response_body_bytes_total"]).to eq(3 + "500 Internal Server Error\n".bytesize)
    end

    it "counts responses by their code, those that there were" do
      server = reporting
      2.times { get(server, "/") }
      get(server, "/raise")
      page = metrics_when(server) { |each| each.samples.key?(["tidegate_responses_total", { "code" => "500" }]) }

      codes = page.samples.filter_map { |(name, labels), count| [labels["code"], count] if name == "tidegate_responses_total" }
      expect(codes.to_h).to eq("200" => 2, "500" => 1)
    end

    it "tells of the process under the names that dashboards know" do
      page = metrics(reporting)

      ticks = Integer(File.read("/proc/self/stat")[/\) (.*)/, 1].split[19])
      started = Integer(File.read("/proc/stat")[/^btime (\d+)/, 1]) + (ticks.to_f / Etc.sysconf(Etc::SC_CLK_TCK))
      expect(page["process_start_time_seconds"]).to be_within(3).of(started)
      expect(page["process_cpu_seconds_total"]).to be > 0
      expect(page["process_resident_memory_bytes"]).to be > 1_000_000
      expect(page["process_open_fds"]).to be_between(3, page["process_max_fds"])
      expect(page["process_max_fds"]).to eq(Process.getrlimit(:NOFILE).first)
    end

    it "has histograms with buckets that add up" do
      server = reporting
      3.times { get(server, "/") }
      page = metrics_when(server) { |each| each["tidegate_request_duration_seconds_count"] == 3 }

      %w[request_duration queue_wait gvl_wait app_time].each do |subject|
        buckets = page.buckets("tidegate_#{subject}_seconds")
        expect(buckets.keys).to eq(buckets.keys.sort).and start_with(0.0001).and end_with(60.0, Float::INFINITY)
        expect(buckets.values).to eq(buckets.values.sort)
        expect(buckets[Float::INFINITY]).to eq(3).and eq(page["tidegate_#{subject}_seconds_count"])
        expect(page["tidegate_#{subject}_seconds_sum"]).to be >= 0
      end
      expect(page["tidegate_request_duration_seconds_sum"]).to be >= page["tidegate_app_time_seconds_sum"]
    end

    it "shows requests that run and those that wait for a thread, as they come and go" do
      server = reporting(threads: "0:1")
      running = begin_waiting(server)
      queued = connect(server)
      queued.request("GET", "/queued")
      catch_up(server)
      page = metrics_when(server) { |each| each["tidegate_threads", state: "waiting"] == 1 }

      expect(page["tidegate_requests_in_flight"]).to eq(2)
      expect(page["tidegate_queue_depth"]).to eq(1)
      expect(page["tidegate_threads_limit"]).to eq(1)
      expect(page["tidegate_connections", state: "open"]).to be >= 2
      go << true
      [running, queued].each { |wire| expect(wire.response.status).to eq(200) }
      page = metrics_when(server) { |each| each["tidegate_threads", state: "idle"] == 1 }
      expect([page["tidegate_requests_in_flight"], page["tidegate_queue_depth"]]).to eq([0, 0])
    end

    it "counts what was turned away, by reason" do
      server = reporting(threads: "1:1", max_queue: 1)
      running = begin_waiting(server)
      queued = connect(server)
      queued.request("GET", "/queued")
      catch_up(server)
      expect(get(server, "/no-room").status).to eq(503)

      expect(metrics(server)["tidegate_requests_shed_total", reason: "queue_full"]).to eq(1)
      expect(metrics(server)["tidegate_requests_total", method: "GET", status: "5xx"]).to eq(1)
      go << true
      [running, queued].each(&:response)
    end

    it "says in which phase the server is, and answers to the end" do
      server = reporting
      expect(metrics(server)["tidegate_phase", phase: "ready"]).to eq(1)
      waiting = begin_waiting(server)
      server.stop
      page = metrics_when(server) { |each| each["tidegate_phase", phase: "closing"] == 1 }

      expect(page["tidegate_phase", phase: "ready"]).to eq(0)
      go << true
      waiting.response
    end
  end

  describe "about waiting for the GVL" do
    # /waits lets go of the GVL until the spec wants it back; /burns holds it for as long as /waits has not got it.
    def competing
      back = false
      run_server(admin: "tcp://127.0.0.1:0") do |env|
        gvl_wait = env["tidegate.gvl_wait"]
        before = gvl_wait.call
        here << env["PATH_INFO"]
        case env["PATH_INFO"]
        when "/waits"
          Patience.pop(go)
          back = true
        when "/burns" then nil until back
        end
        [200, { "content-type" => "text/plain" }, [JSON.generate([before, gvl_wait.call])]]
      end
    end

    it "tells of a request that wanted it back while another computed" do
      server = competing
      waits = connect(server)
      waits.request("GET", "/waits")
      Patience.pop(here)
      burns = connect(server)
      burns.request("GET", "/burns")
      Patience.pop(here)
      go << true
      before, after = JSON.parse(waits.response.body)
      burns.response

      expect(after).to be > before
      page = metrics_when(server) { |each| each["tidegate_gvl_wait_seconds_count"] == 2 }
      expect(page["tidegate_gvl_wait_seconds_sum"] * 1000).to be >= after
    end

    it "tells nothing outside of a request" do
      expect(Tidegate::RackEnv::GVL_WAIT.call).to eq(0.0)
      expect(Tidegate::RackEnv::IO_BOUND.call).to be(false)
    end
  end

  describe "about requests that say that they mostly wait" do
    it "lets others in beside them at once" do
      %w[tidegate.io_bound puma.mark_as_io_bound].each { |key| expect(stalls_beside { |env| env.fetch(key).call }).to eq(0) }
    end

    it "lets others in beside those that say nothing when the queue has stood still" do
      expect(stalls_beside { nil }).to eq(1)
    end
  end

  # Ruby tells of a thread that is woken on the thread that wakes it.
  describe "about requests that wait for another thread" do
    it "knows that they compute again, once they were woken" do
      expect(stalls_beside { go.pop }).to eq(1)
      lock = Mutex.new
      woken = ConditionVariable.new
      expect(stalls_beside { lock.synchronize { Thread.new { lock.synchronize { woken.signal } } && woken.wait(lock) } }).to eq(1)
    end

    {
      "in a Fiber" => ->(go) { Fiber.new { go.pop }.resume },
      "under a Timeout, in a Mutex" => ->(go) { Mutex.new.synchronize { Timeout.timeout(60) { go.pop } } },
      "for a pipe" => ->(go) { IO.pipe { |reader, writer| Thread.new { go.pop && writer.puts } && reader.gets } },
      "for a child" => ->(go) { go.pop && Process.wait(fork { exit!(0) }) },
      "in an Enumerator of a thread's work" => ->(go) { Enumerator.new { |them| them << Thread.new { go.pop }.value }.next }
    }.each do |how, wait|
      it "knows that of those that waited #{how}" do
        expect(stalls_beside { wait.call(go) }).to eq(1)
      end
    end

    it "does not take a thread that they begin for themselves" do
      expect(stalls_beside { Array.new(5) { Thread.new { Thread.pass } }.each(&:join) }).to eq(1)
    end
  end

  describe "at /stats" do
    it "has Puma's keys, and ours" do
      server = reporting(threads: "2:4")
      wait_for_stat(server, :idle_workers, 2)
      waiting = begin_waiting(server)
      metrics_when(server) { |each| each["tidegate_threads", state: "waiting"] == 1 }
      response = ask(server, "/stats")
      stats = JSON.parse(response.body)

      expect(response["content-type"]).to eq("application/json")
      expect(stats).to include(
        "backlog" => 0, "running" => 2, "pool_capacity" => 3, "busy_threads" => 1, "max_threads" => 4, "requests_count" => 1,
        "started_at" => a_string_matching(/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\z/)
      )
      ruby = { "engine" => RUBY_ENGINE, "version" => RUBY_VERSION, "patchlevel" => RUBY_PATCHLEVEL }
      expect(stats["versions"]).to eq("tidegate" => Tidegate::VERSION, "ruby" => ruby)
      expect(stats["tidegate"]).to include("phase" => "ready", "in_flight" => 1, "waiting_threads" => 1, "idle_threads" => 1)
      go << true
      waiting.response
    end
  end

  it "is in docs/metrics.md, all of it and nothing else" do
    page = File.read(File.expand_path("../../docs/metrics.md", __dir__)).split("## In a cluster").first
    documented = page.scan(/^\| `((?:tidegate|process)_\w+)/).flatten
    # Those of the collector come with its first report, those of certificates where there are any, and those of a cluster in one.
    always = ->(names) { names.grep_v(/\Atidegate_(?:gc|tls_certificate_not_after)_/) }

    expect(always[documented]).to match_array(always[metrics(reporting).types.keys])
  end
end
