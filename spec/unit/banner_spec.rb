# frozen_string_literal: true

RSpec.describe Tidegate::Banner do
  # A configuration with what a file in Puma's language says.
  def configured(text)
    Dir.mktmpdir do |directory|
      File.write("#{directory}/puma.rb", text)
      flags = Tidegate::Configuration::Layer.new.tap { |layer| layer.set_named(:config, ["#{directory}/puma.rb"], "-C") }
      Tidegate::Configuration.resolve(flags:)
    end
  end

  it "says what runs, on which Ruby, where" do
    expect(described_class.sentence(configured("environment 'staging'\n")))
      .to match(/\Aversion #{Tidegate::VERSION} on Ruby #{RUBY_VERSION} with(?:out)? YJIT, environment staging, process #{Process.pid}\z/)
  end

  it "tells a file that sets one number of threads, as Rails' does, that it need not" do
    expect(described_class.threads_hint(configured("\nthreads 3, 3\n"))).to match(/puma\.rb:2: threads 3, 3: no number of threads has to be tuned here/)
    expect([configured("threads 0, 16\n"), configured("port 3000\n"), Tidegate::Configuration.embedded(threads: 3)].map { |each| described_class.threads_hint(each) })
      .to all(be_nil)
  end
end
