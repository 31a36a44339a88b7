import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.HexFormat;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** The Java client as a foreign producer: "key TAB value-in-hex" lines from standard input, partitions as it chooses. */
public class Produce {
    public static void main(String[] args) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", args[0]);
        settings.put("acks", "all");
        int count = 0;
        try (var producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
                var lines = new BufferedReader(new InputStreamReader(System.in))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                String[] parts = line.split("\t");
                byte[] value = HexFormat.of().parseHex(parts[1]);
                var record = new ProducerRecord<>(args[1], parts[0].getBytes("UTF-8"), value);
                record.headers().add("ce_id", parts[0].getBytes("UTF-8")).add("ce_source", "/interop".getBytes("UTF-8"));
                record.headers().add("ce_time", "2026-03-01T12:00:00Z".getBytes("UTF-8"));
                producer.send(record).get();
                count++;
            }
        }
        System.out.println("java: " + count + " records");
    }
}
