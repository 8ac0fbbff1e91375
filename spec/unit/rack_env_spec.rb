# frozen_string_literal: true

RSpec.describe Tidegate::RackEnv do
  it "names the server and says how the app is run" do
    expect(described_class.template).to include(
      "SERVER_SOFTWARE" => "tidegate/#{Tidegate::VERSION}", "GATEWAY_INTERFACE" => "CGI/1.2", "rack.errors" => $stderr,
      "rack.multithread" => true, "rack.multiprocess" => false, "rack.run_once" => false
    )
  end

  it "is frozen, and so are its values but for the error stream" do
    expect([described_class.template, *described_class.template(errors: nil).values]).to all(be_frozen)
  end

  it "has an input for requests without a body" do
    expect(described_class.template["rack.input"]).to be_a(Tidegate::EmptyInput)
  end

  {
    "2.2.22" => { "rack.version" => [1, 3] },
    "3.0.11" => { "rack.version" => [1, 6] },
    "3.1.20" => { "rack.version" => [1, 6] },
    "3.10.0" => { "rack.version" => [1, 6] }
  }.each do |release, entries|
    it "is what Rack #{release} wants" do
      stub_const("Rack::VERSION", [1, 3])
      template = described_class.template(release:)
      expect(entries.to_h { |name, _| [name, template[name]] }).to eq entries
    end
  end
end
