using System.Security.Cryptography;
using Flint.App.Accounts;

namespace Flint.App.Tests.Accounts;

/// <summary>The chain over the ledger tells every change of it.</summary>
public abstract class AuditChainTests : IDisposable
{
    private const int Count = 20;

    private readonly TestStore _accounts;
    private readonly Store _store;

    protected AuditChainTests(StoreKind kind)
    {
        _accounts = new TestStore(kind);
        _store = _accounts.Open();
    }

    public void Dispose()
    {
        _accounts.Dispose();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task What_was_written_verifies_and_contains_every_state_it_had()
    {
        AuditHead none = AuditChain.Head(_store);
        Assert.Equal(0, none.Count);
        Assert.Null(AuditChain.Verify(_store, none).Fault);
        await WriteAsync(0);
        AuditHead first = AuditChain.Head(_store);
        await WriteAsync(Count);
        AuditHead last = AuditChain.Head(_store);
        Assert.Equal((Count, 2 * Count), (first.Count, last.Count));
        foreach (AuditHead noted in new[] { none, first, last, AuditHead.Parse($" {first} ") })
            Assert.Equal(new AuditResult(last, null), AuditChain.Verify(_store, noted));
        Assert.NotNull(AuditChain.Verify(_store, first with { Count = Count + 1 }).Fault);
        Assert.NotNull(AuditChain.Verify(_store, last with { Hash = first.Hash }).Fault);
    }

    [Theory]
    [InlineData("UPDATE usage SET output_tokens = output_tokens + 1 WHERE request_id = 'r7'", "Record 8 (r7)")]
    [InlineData("UPDATE usage SET total_ms = total_ms + 1e-9 WHERE request_id = 'r0'", "Record 1 (r0)")]
    [InlineData("UPDATE usage SET key_id = NULL, finish = 'x' WHERE request_id = 'r19'", "Record 20 (r19)")]
    [InlineData("DELETE FROM usage WHERE request_id = 'r5'", "Record 6 (r6)")]
    [InlineData("UPDATE usage SET id = CASE id WHEN 3 THEN -4 ELSE -3 END WHERE id IN (3, 4)", "Record 1 (r2)")]
    [InlineData("DELETE FROM usage WHERE request_id = 'r19'", "has 19 records, and its head was written for 20")]
    [InlineData("DELETE FROM usage", "has 0 records, and its head was written for 20")]
    [InlineData("UPDATE usage SET hash = NULL WHERE request_id = 'r3'", "Record 4 (r3)")]
    [InlineData("UPDATE usage SET cost = 1 WHERE request_id = 'r2'", "Record 3 (r2)")]
    [InlineData("UPDATE usage SET policy = 'x' WHERE request_id = 'r2'", "Record 3 (r2)")]
    [InlineData("UPDATE usage SET fingerprint = '', dialect = 'x' WHERE request_id = 'r2'", "Record 3 (r2)")]
    [InlineData("UPDATE usage SET form = 1 WHERE request_id = 'r2'", "Record 3 (r2)")]
    [InlineData("UPDATE usage SET form = 3 WHERE request_id = 'r2'", "Record 3 (r2)")]
    [InlineData("UPDATE chain SET records = 19", "has 20 records, and its head was written for 19")]
    public async Task A_change_is_told(string sql, string fault)
    {
        await WriteAsync(0);
        _accounts.Execute(sql);
        Assert.Contains(fault, AuditChain.Verify(_store).Fault);
    }

    [Fact]
    public async Task A_chain_written_anew_does_not_contain_what_was_noted()
    {
        await WriteAsync(0);
        AuditHead noted = AuditChain.Head(_store);
        _accounts.Execute("DELETE FROM usage; UPDATE chain SET records = 0, hash = @none", new { none = new byte[SHA256.HashSizeInBytes] });
        await WriteAsync(100);
        Assert.Null(AuditChain.Verify(_store).Fault);
        Assert.Contains("does not contain", AuditChain.Verify(_store, noted).Fault);
    }

    [Theory]
    [InlineData("")]
    [InlineData("5")]
    [InlineData("5:abc")]
    [InlineData("-1:0000000000000000000000000000000000000000000000000000000000000000")]
    [InlineData("1:000000000000000000000000000000000000000000000000000000000000000g")]
    public void What_is_no_head_is_refused(string text) => Assert.Equal("invalid_head", Assert.Throws<FlintException>(() => AuditHead.Parse(text)).Code);

    private async Task WriteAsync(int from)
    {
        await using var ledger = new Ledger(_store);
        for (int i = from; i < from + Count; i++)
            await ledger.RecordAsync(new UsageRecord { RequestId = $"r{i}", Endpoint = "/v1/chat/completions", Started = i, Model = "m", Finish = "stop", Status = 200, OutputTokens = i, TotalMs = i / 3.0 });
    }
}

public sealed class SqliteAuditChainTests() : AuditChainTests(StoreKind.Sqlite);

public sealed class PostgresAuditChainTests() : AuditChainTests(StoreKind.Postgres);
