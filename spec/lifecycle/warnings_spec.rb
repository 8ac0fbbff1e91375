# frozen_string_literal: true

# A user who has Ruby's warnings on sees those of the app, and none of ours.

RSpec.describe "with all of Ruby's warnings on", :processes do
  # Ruby lists the categories since 3.4.
  categories = Warning.respond_to?(:categories) ? Warning.categories : %i[deprecated experimental]
  categories |= [:performance] if RUBY_VERSION >= "3.3"
  flags = ["-w", *categories.map { |category| "-W:#{category}" }].join(" ")

  ours = %r{^#{Regexp.escape(ServerProcess::ROOT)}/(lib|exe)/.*warning:}

  # All that the server prints from its start to its end, with requests of several kinds between.
  def life_of(process)
    process.ready
    expect(process.get("/").status).to eq(200)
    expect(process.get("/each").body).to eq("yielded")
    expect(process.connect { |wire| wire.post("/", "in a file, for it is long") }.body).to eq("in a file, for it is long")
    expect(process.get("/raise").status).to eq(500)
    process.signal(:TERM)
    expect(process.exit_status).to eq(0)
    process.output
  end

  it "tidegate prints none of its own" do
    Dir.mktmpdir do |directory|
      config = File.join(directory, "tidegate.rb")
      File.write(config, "# frozen_string_literal: true\n\nthreads 1, 2\nbody_memory_limit 10\n")
      process = start("-p", 0, "-o", "127.0.0.1", "-C", config, "-v", "--termination-grace", 3600, "--admin", "tcp://127.0.0.1:0",
                      fixture("warns.ru"), env: { "RUBYOPT" => flags })
      output = life_of(process)

      expect(output).to match(/warns\.ru:\d+: warning: .*redefin/)
      expect(output).not_to match(ours)
    end
  end

  it "rackup -s tidegate prints none of its own" do
    process = track(ServerProcess.rackup("-o", "127.0.0.1", "-p", 0, "-E", "production", "-O", "body_memory_limit=10",
                                         fixture("warns.ru"), env: { "RUBYOPT" => flags }))
    output = life_of(process)

    expect(output).to match(/warns\.ru:\d+: warning: .*redefin/)
    expect(output).not_to match(ours)
  end
end
