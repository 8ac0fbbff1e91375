# frozen_string_literal: true

# Rails with workers, as it is started in production: WEB_CONCURRENCY, bin/rails restart, Ctrl-C.

RSpec.describe "rails server -u tidegate with WEB_CONCURRENCY", :frameworks, :processes do
  let(:server) do
    rails_server("-u", "tidegate", "-p", 0, env: { "WEB_CONCURRENCY" => "2" }).ready
  end

  it "preloads the app, and answers with each of its workers" do
    expect(server.output).to match(/^tidegate: ready on http\S+ \(2 workers, each with up to 3 threads;/)
    expect(worker_pids(server).size).to eq 2
    expect(Array.new(10) { server.get("/up").status }.uniq).to eq [200]
  end

  it "replaces the workers when tmp/restart.txt is touched, and no request fails" do
    before = worker_pids(server)
    over = false
    statuses = []
    asker = Thread.new { statuses << server.get("/up").status until over }
    FileUtils.mkdir_p("#{Frameworks::EXAMPLES}/rails/tmp")
    FileUtils.touch("#{Frameworks::EXAMPLES}/rails/tmp/restart.txt")
    before.each { |pid| wait_gone(pid) }
    wait_workers(server, 2)
    over = true

    Patience.value_of(asker, "the client")
    expect(statuses.uniq).to eq [200]
    expect(server.output).to match(/^tidegate: restarting: tmp\S* was touched; the workers serve on until those of the new image do/)
  end

  it "ends with 0 on Ctrl-C, which reaches all its processes" do
    Process.kill(:INT, -server.pid)
    expect(server.exit_status).to eq 0
    expect(server.output.scan(/^tidegate: (closing|drain): /).flatten).to eq %w[closing drain]
    expect(server.output).not_to match(/has ended|was ended|Interrupt/)
  end
end
