using System.CommandLine;
using System.Diagnostics.Metrics;
using System.Text.Json;
using Flint.App.Accounts;
using Flint.App.Api;
using Flint.App.Operations;
using Flint.App.Serving;
using Flint.App.Tests;

namespace Flint.Bench;

/// <summary>
/// The server that <see cref="Overhead"/> measures. It prints its address; on <c>begin</c> it forgets what it has measured, on
/// <c>end</c> it prints it, and at the end of its input it stops.
/// </summary>
internal static class OverheadServer
{
    internal const string Name = "overhead-server";

    private static readonly Option<DirectoryInfo> Data = new("--data") { Description = "Where the accounts are.", Required = true };
    private static readonly Option<string?> Address = new("--store") { Description = "The PostgreSQL database that holds them instead." };

    private static readonly Option<bool> WaitsForDisk = new("--wait-for-disk") { Description = "Have answers wait until their records are on the disk." };

    [ThreadStatic]
    private static double _entry, _reservation;

    /// <summary>What is measured of a request, in milliseconds: three parts and their sum.</summary>
    internal static readonly string[] Parts = ["entry", "reservation", "record", "overhead"];

    internal static Command Create()
    {
        var command = new Command(Name, "The server that is measured.") { Data, Address, WaitsForDisk };
        command.Hidden = true;
        command.SetAction((parsed, _) => RunAsync(parsed.GetRequiredValue(Data).FullName, parsed.GetValue(Address), parsed.GetValue(WaitsForDisk)));
        return command;
    }

    private static async Task RunAsync(string data, string? address, bool waitsForDisk)
    {
        string path = Path.Combine(data, "tiny.gguf");
        TinyModel.Write(path);
        await using var server = new ApiServer(new ApiOptions { Port = 0, WaitsForDisk = waitsForDisk }, [ServedModel.Load(path, "tiny", new ServingOptions { Threads = 1 })], new Store(data, address));
        var samples = Parts.ToDictionary(part => part, _ => new List<double>());
        using MeterListener listener = Listen(samples);
        await server.StartAsync();
        Console.WriteLine(server.Address);
        while (Console.ReadLine() is string line)
        {
            lock (samples)
            {
                if (line == "end")
                    Console.WriteLine(JsonSerializer.Serialize(samples));
                foreach (List<double> part in samples.Values)
                    part.Clear();
            }
        }
    }

    // A request's three parts are told one after the other on one thread, its record last.
    private static MeterListener Listen(Dictionary<string, List<double>> samples)
    {
        var listener = new MeterListener
        {
            InstrumentPublished = (instrument, own) =>
            {
                if (instrument.Name == Telemetry.AccountsName)
                    own.EnableMeasurementEvents(instrument);
            },
        };
        listener.SetMeasurementEventCallback<double>((_, seconds, tags, _) =>
        {
            double time = seconds * 1000;
            switch ((string)tags[0].Value!)
            {
                case "entry":
                    _entry = time;
                    break;
                case "reservation":
                    _reservation = time;
                    break;
                default:
                    lock (samples)
                    {
                        samples["entry"].Add(_entry);
                        samples["reservation"].Add(_reservation);
                        samples["record"].Add(time);
                        samples["overhead"].Add(_entry + _reservation + time);
                    }

                    break;
            }
        });
        listener.Start();
        return listener;
    }
}
