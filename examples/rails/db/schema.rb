# frozen_string_literal: true

ActiveRecord::Schema[7.2].define(version: 1) do
  create_table :notes do |table|
    table.string :text, null: false
    table.binary :attachment
    table.string :filename
    table.timestamps
  end
end
