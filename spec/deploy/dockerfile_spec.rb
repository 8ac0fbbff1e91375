# frozen_string_literal: true

# The images' recipes, as far as they can be read: no container engine is needed. bin/rehearse-image builds one and runs it.
RSpec.describe "deploy/Dockerfile", :manifests do
  deploy = File.expand_path("../../deploy", __dir__)
  # What is in the directory of every app that it is meant for.
  app = %w[Gemfile Gemfile.lock config.ru]

  %w[Dockerfile Dockerfile.alpine].each do |name|
    context "as #{name}" do
      let(:file) { Dockerfile.new(File.read("#{deploy}/#{name}")) }

      it "starts the server without a shell, so that it is process 1 and gets the TERM itself" do
        expect(file.one("ENTRYPOINT").exec).to eq(%w[bundle exec])
        expect(file.one("CMD").exec).to eq(%w[tidegate])
        expect(file.one("STOPSIGNAL").text).to eq("SIGTERM")
      end

      it "runs it as the user of the manifests, by number, and never as root" do
        user = file.one("USER").text

        expect(user).to eq("10001:10001")
        expect(pod_user).to eq(user.split(":").map(&:to_i))
        expect(file.last_stage.drop_while { |one| one.name != "USER" }.map(&:name)).not_to include("RUN", "COPY")
      end

      it "has the ports that the manifests name, and answers probes on one of them" do
        ports = YAML.load_file("#{deploy}/kubernetes/base/deployment.yaml")
                    .dig("spec", "template", "spec", "containers", 0, "ports").map { |port| port["containerPort"].to_s }

        expect(file.one("EXPOSE").words).to eq(ports)
        expect(file.env).to include("PORT" => ports[0], "TIDEGATE_ADMIN" => "tcp://0.0.0.0:#{ports[1]}")
        expect(file.env).to include("RACK_ENV" => "production")
      end

      it "has the TMPDIR of the manifests, which is the user's own and no other user's" do
        env = YAML.load_file("#{deploy}/kubernetes/base/deployment.yaml").dig("spec", "template", "spec", "containers", 0, "env")
        tmpdir = env.to_h { |entry| entry.values_at("name", "value") }.fetch("TMPDIR")
        making = file.all("RUN", within: file.last_stage).map(&:text).grep(/mkdir -m 0700 #{tmpdir} && chown 10001:10001 .*#{tmpdir}/)

        expect(file.env["TMPDIR"]).to eq(tmpdir)
        expect(making.size).to eq(1)
      end

      it "copies from stages that there are, or what every app has" do
        file.all("COPY").each do |copy|
          from = copy.flags.grep(/--from=/).first&.delete_prefix("--from=")
          if from
            expect(file.stage_names).to include(from), "line #{copy.line}"
          else
            sources = copy.words[0..-2]
            expect(sources.any? { |source| source == "." || app.include?(source) }).to be(true), "line #{copy.line}: #{sources}"
            expect(sources - app - [".", "vendo[r]"]).to be_empty, "line #{copy.line}"
          end
        end
      end

      it "takes from the build only the gems and the app: no compiler, no Cargo" do
        copies = file.all("COPY", within: file.last_stage)

        expect(copies.map { |copy| copy.flags + copy.words })
          .to eq([%w[--from=build /usr/local/bundle /usr/local/bundle], %w[--from=build /app /app]])
        expect(file.last_stage.map(&:text).join(" ")).not_to match(/build-essential|build-base|clang|cargo|rustup/)
      end

      it "installs the gems of the lock file, and none for development" do
        stages = file.stages.select { |stage| file.env(stage).key?("BUNDLE_PATH") }

        expect(stages.size).to eq(2)
        expect(stages.map { |stage| file.env(stage) })
          .to all(include("BUNDLE_PATH" => "/usr/local/bundle", "BUNDLE_FROZEN" => "1", "BUNDLE_WITHOUT" => "development:test"))
      end

      it "pins its images to a release, and leaves no package lists" do
        images = file.stages.map { |stage| stage.first.text[/\A\S+/] }

        expect(images).to all(match(/:(?!latest)\S+\z/))
        runs = file.all("RUN").map(&:text)
        expect(runs.grep(/apt-get install/)).to all(include("--no-install-recommends", "rm -rf /var/lib/apt/lists/*"))
        expect(runs.grep(/apk add/)).to all(include("--no-cache"))
      end

      it "has no secret" do
        expect(File.read("#{deploy}/#{name}")).not_to match(/(password|token|secret_key_base|api_key|master_key)\s*=/i)
        expect(file.all("ARG").map(&:text)).to contain_exactly("RUBY=3.4", 'BUILD_PACKAGES=""', 'PACKAGES=""')
      end
    end
  end

  it "makes of both the same but for the system" do
    both = %w[Dockerfile Dockerfile.alpine].map { |name| Dockerfile.new(File.read("#{deploy}/#{name}")) }
    system = lambda do |one|
      one.name == "FROM" || (one.name == "RUN" && one.text.match?(/apt-get|apk/)) || one.text.include?("CARGO_HOME=")
    end

    expect(both.map { |file| file.instructions.reject(&system).map { |one| [one.name, one.text] } }.uniq.size).to eq(1)
    expect(both.map { |file| file.env(file.stages[1]).except("RUSTFLAGS") }.uniq.size).to eq(1)
  end

  it "lets Rust link dynamically on musl, where a shared library cannot be made otherwise" do
    file = Dockerfile.new(File.read("#{deploy}/Dockerfile.alpine"))
    rust = file.stages[1].index { |one| one.text.include?('RUSTFLAGS="-C target-feature=-crt-static"') }
    install = file.stages[1].index { |one| one.text.start_with?("bundle install") }

    expect(rust).to be < install
    expect(file.last_stage.map(&:text).join).to include("libgcc")
  end

  it "is kept from copying what does not belong into an image" do
    ignored = File.readlines("#{deploy}/.dockerignore", chomp: true).reject { |line| line.start_with?("#") }

    expect(ignored).to include(".git", ".env*", "config/master.key", "config/credentials/*.key", "log/*", "tmp/*", "node_modules")
    expect(ignored & [*app, "vendor", "vendor/cache", "config", "lib"]).to be_empty
  end

  it "is read well enough to find mistakes" do
    expect { Dockerfile.new("FROM a\nRUNN b\n") }.to raise_error(/line 2: RUNN/)
    file = Dockerfile.new("FROM a AS b\nRUN c \\\n # why\n && d\nCMD tidegate -p 1\nENTRYPOINT [\"x\", 1]\n")

    expect(file.all("RUN").first.text).to eq("c  && d")
    expect([file.one("CMD").exec, file.one("ENTRYPOINT").exec]).to eq([nil, nil])
    expect { file.one("USER") }.to raise_error("0 of USER")
  end

  def pod_user
    YAML.load_file("#{Manifests::DEPLOY}/kubernetes/base/deployment.yaml")
        .dig("spec", "template", "spec", "securityContext").values_at("runAsUser", "runAsGroup")
  end
end
