module go-client

go 1.19

require hvsocket v0.0.0

replace hvsocket => ../../bindings/go
