# frozen_string_literal: true

# Connections to a database that an app has before its workers are forked, or before a warm worker becomes their mold: no two processes
# may use one.

RSpec.describe "a cluster of an app with a PostgreSQL", :frameworks, :processes do
  before(:context) do
    @postgres = Postgres.new if Postgres.programs && Gem.path.any? { |path| Dir.glob("#{path}/specifications/pg-[0-9]*.gemspec").any? }
  end

  after(:context) { @postgres&.stop }

  before do
    needs "activerecord", "pg"
    skip "without PostgreSQL's initdb and pg_ctl there is no database to ask" unless @postgres
  end

  let(:server) { cluster("-t", "4:4", workers: 4, fixture: "database.ru", env: { "SPEC_POSTGRES" => @postgres.host }) }

  # Who has answered: for each worker the processes of the database. Asks on kept connections until the block says that it is enough.
  def ask(server)
    answers = Queue.new
    over = false
    threads = Array.new(8) do |index|
      Thread.new do
        client = KeptClient.new(server.address)
        (index * 1_000_000).step { |number| over ? break : answers << [number, client.get("/#{number}")] }
      end
    end
    yield answers
    over = true
    threads.each { |thread| Patience.value_of(thread, "a client") }
    gathered(Array.new(answers.size) { answers.pop })
  end

  def gathered(answers)
    answers.each_with_object(Hash.new { |hash, pid| hash[pid] = [] }) do |(number, response), backends|
      expect(response.status).to eq 200
      answer, pid, backend = response.body.split.map { |word| Integer(word) }
      expect(answer).to eq number
      backends[pid] |= [backend]
    end
  end

  def each_has_its_own(backends)
    expect(backends.values.flatten.tally.select { |_, count| count > 1 }).to eq({})
    expect(@postgres.log).not_to match(/protocol|FATAL|invalid message|lost synchronization/)
  end

  # Asks until each worker that serves has answered.
  def ask_all(server)
    wait_workers(server, 4)
    ask(server) do |answers|
      seen = []
      Patience.until_true("all workers to answer") do
        seen |= Array.new(4) { server.get("/7").body.split[1].to_i }
        # The last replacement of a refork comes after all the others.
        (worker_pids(server) - seen).empty? && answers.size > 400
      end
    end
  end

  it "has other connections in each worker than in any other, and than in the master" do
    loaded = server.get("/loaded").body.to_i
    backends = ask_all(server)

    expect(backends.keys).to match_array(worker_pids(server))
    expect(backends.values.flatten).not_to include(loaded)
    each_has_its_own(backends)
  end

  it "has so after a refork, from a worker with open connections" do
    before = worker_pids(server)
    backends = ask(server) do
      server.signal(:URG)
      before.each { |pid| Patience.until_true("#{pid} to serve no more") { !title(pid).start_with?("tidegate: worker") } }
      wait_workers(server, 4)
    end
    each_has_its_own(backends.merge(ask_all(server)) { |_, one, other| one | other })
  end

  it "has so after a restart" do
    before = worker_pids(server)
    backends = ask(server) do
      server.signal(:USR1)
      before.each { |pid| wait_gone(pid) }
      wait_workers(server, 4)
    end
    each_has_its_own(backends.merge(ask_all(server)) { |_, one, other| one | other })
  end
end
