# frozen_string_literal: true

RSpec.describe "The limits in docs/http.md" do
  # Groups whose every option bounds a client, and options of others that do.
  groups = ["Timeouts", "Limits", "HTTP/2"]
  others = %i[max_queue queue_timeout request_timeout]
  switches = %i[http2]

  options = Tidegate::Configuration::GROUPS.values_at(*groups).compact.flatten.reject { |option| switches.include?(option.name) } +
            Tidegate::Configuration::GROUPS.values.flatten.select { |option| others.include?(option.name) }
  documented = File.read(File.expand_path("../../docs/http.md", __dir__))[/^## Limits$.*/m].scan(/^\| `(\w+)` \| ([^|]+) \| [^|]+ \|$/).to_h

  it "are all that there are" do
    expect(documented.keys.map(&:to_sym)).to match_array(options.map(&:name))
  end

  options.each do |option|
    it "have the default of #{option.name}" do
      expect(documented[option.name.to_s]).to eq(option.default_text || "none")
    end
  end
end
